"""Environments of text: what is told follows from what agents are told, every action has a sentence, and no text breaks one."""

import itertools
import random
import string
import threading

import numpy as np
import pytest
from gymnasium import spaces

import metarl_envs
from metarl_envs import text
from metarl_envs.cli import app
from metarl_envs.engine.canvas import Picture
from metarl_envs.engine.records import Row
from metarl_envs.engine.sentences import read, sentences_of
from metarl_envs.evaluation import evaluate
from metarl_envs.ids import TABLE, id_of
from metarl_envs.players import Seat, load
from tests.worlds import smaller

pytestmark = pytest.mark.plain

IDS = [row.id for row in TABLE]


def short(id):
    """Parameters under which a trial takes little time."""
    id = id_of(id)
    if smaller(id):
        return {**smaller(id), "horizon": 12}
    return {} if id in ("MetaRL/TMaze-v0", "MetaRL/PointRobot-v0", "MetaRL/PointRobotSparse-v0") else {"horizon": 6}


def opened(id, **more):
    env = text.make(id, **{**short(id), **more})
    return env, env.reset()


# ------------------------------------------------------------------------------------------------- what is told
@pytest.mark.parametrize("id", IDS)
def test_equal_histories_give_equal_words_and_pictures(id):
    """Worlds with different hidden tasks, in which the same is done: while the same is told, the same is read and seen."""
    tasks = metarl_envs.tasks(id, **short(id))
    envs = [opened(id, index=index)[0] for index in range(min(6, len(tasks) if tasks.is_finite else 6))]
    rng, compared, space = np.random.default_rng(0), 0, envs[0].action_space
    space.seed(0)
    known = [[told_in_numbers(env)] for env in envs]
    for _ in range(5):
        for i, j in itertools.combinations(range(len(envs)), 2):
            if known[i] == known[j]:
                compared += envs[i]._task != envs[j]._task
                assert envs[i].text == envs[j].text
                assert np.array_equal(drawn(envs[i]), drawn(envs[j]))
        action = rng.integers(space.n) if isinstance(space, spaces.Discrete) else space.sample()
        for history, env in zip(known, envs, strict=True):
            if not env.done:
                env._take(action)
                history.append(told_in_numbers(env))
    assert compared or id == "MetaRL/TMaze-v0", "which shows its task at the start"


def told_in_numbers(env):
    moment = env._moment
    return tuple(np.asarray(part).tobytes() for part in vars(moment).values() if part is not None and not callable(part))


def drawn(env):
    """The picture that a player sees."""
    picture = Picture(480, 480)
    family = env.variant.family
    family.draw(picture, env.variant.p, Row(env._env._worlds.worlds.view(np.ndarray)["state"][0]), None)
    return picture.array()


def test_what_pages_call_hidden_is_neither_told_nor_drawn():
    env, _ = opened("DarkKeyToDoor", index=0)
    world = env._env._worlds.worlds.view(np.ndarray)["state"]
    before = drawn(env), env.variant.family.words_in(env.variant.p, world[0], env._task, env._moment.observation)
    world["stage"] = 1
    assert np.array_equal(drawn(env), before[0])
    assert env.variant.family.describe(env.variant.p, Row(world[0]), None).count("key") == 0
    assert "has the key" in env.variant.family.describe(env.variant.p, Row(world[0]), Row(env._task))
    maze, _ = opened("TMaze")
    state = maze._env._worlds.worlds.view(np.ndarray)["state"]
    state["cue"], state["x"] = 0, 1
    one = drawn(maze), maze.variant.family.describe(maze.variant.p, Row(state[0]), None)
    state["x"] = 2
    other = drawn(maze), maze.variant.family.describe(maze.variant.p, Row(state[0]), None)
    assert np.array_equal(one[0], other[0])
    assert one[1] == other[1] == "sees the corridor"


@pytest.mark.parametrize("id", IDS)
def test_a_text_env_tells_what_an_agent_of_evaluate_is_told(id):
    """The words of a moment in a run are those of the text environment with the same task and noise."""
    moments = []

    class Recorder:
        def __init__(self, *, action_space, **_):
            self.space = action_space
            self.space.seed(3)

        def act(self, moment):
            moments.append((moment.wording.rules, moment.words))
            return self.space.sample()

    episodes = {} if metarl_envs.tasks(id, **short(id)).variant.family.curve_unit != "episode" else {"episodes_per_trial": 2}
    env, first = opened(id, seed=5, **episodes)
    from metarl_envs.players.lifetimes import live

    many = env._env.episodes_per_trial
    run, _ = live(Seat(Recorder), env.variant, env._task.reshape(1), np.array([5], np.uint64), episodes=many)
    assert first == "\n\n".join(moments[0])
    for action, (_, words) in zip(run.actions[0, : run.steps[0] - 1], moments[1:], strict=True):
        env._take(action if env.variant.action.shape else int(action))
        assert env.text == words
    env._take(run.actions[0, run.steps[0] - 1])
    assert env.done
    assert env.total == pytest.approx(run.returns[0])
    assert env.run().endings.tolist() == run.endings.tolist()


def test_the_task_is_hidden_until_the_trial_is_over():
    env, told = opened("DarkRoom", index=3, split="test")
    with pytest.raises(RuntimeError, match="hidden until"):
        env.task  # noqa: B018
    goal = metarl_envs.tasks("DarkRoom", split="test", horizon=6)[3]["goal"]
    while not env.done:
        told += env.step("up")
    assert env.task["goal"].tolist() == goal.tolist()
    assert str(goal.tolist()) not in told
    with pytest.raises(RuntimeError, match="is over"):
        env.step("up")


def test_score_regret_and_run_are_those_of_evaluate():
    result = evaluate("DarkRoom", {"up": Seat(Up)}, split="test", tasks=3, seeds=1, episodes=2, horizon=6, start="corner")
    run = result.runs["up"]
    index = [row["goal"].tolist() for row in metarl_envs.tasks("DarkRoom", split="test", horizon=6, start="corner")].index(
        run.tasks[1]["goal"].tolist()
    )
    env = text.make("DarkRoom", split="test", index=index, seed=run.seeds[1], episodes_per_trial=2, horizon=6, start="corner")
    env.reset()
    while not env.done:
        env.step("right")
    assert env.run().scores().tolist() == run[1:2].scores().tolist()
    assert env.score == pytest.approx(result.normalised("up")[0, 1, 0].mean())
    assert env.regret == pytest.approx(2 * result.scale.oracle[1] - run.returns[1])


class Up:
    def __init__(self, **_):
        pass

    def act(self, moment):
        return 2


# ------------------------------------------------------------------------------------------------- what is said
@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(5),
        spaces.Discrete(3, start=2),
        spaces.Box(-1, 1, (2,), np.float32),
        spaces.Box(np.float32(0.1), np.float32(0.7), (1,), np.float32),
        spaces.Box(0, 200, (3,), np.uint8),
        spaces.MultiDiscrete([3, 4]),
    ],
    ids=str,
)
def test_every_action_has_a_sentence_that_means_it(space):
    sentences = sentences_of(space)
    space.seed(0)
    actions = [space.sample() for _ in range(200)]
    actions += [space.low, space.high] if isinstance(space, spaces.Box) else []
    for action in actions:
        said = sentences.parse(sentences.say(action))
        assert not said.problem
        assert np.array_equal(said.action, action)
        assert space.contains(said.action if isinstance(said.action, np.ndarray) else np.int64(said.action))


@pytest.mark.parametrize(
    ("said", "action", "how"),
    [
        ("up", 1, "strict"),
        ("1", 1, "strict"),
        (" up ", 1, "strict"),
        ("Up.", 1, "lenient"),
        ('"up"', 1, "lenient"),
        ("`up`", 1, "lenient"),
        ("Let me think: left is a wall.\n\nAnswer: **up**", 1, "lenient"),
        ("```\nup\n```", 1, "lenient"),
        ("left\nup", 1, "lenient"),
        ("- Action: UP!", 1, "lenient"),
        ("The answer is: 1", 1, "lenient"),
        ("My final answer is up.", 1, "lenient"),
        ("the answer island up", None, "malformed"),
        ("go up", None, "malformed"),
        ("5", None, "malformed"),
        ("1.0", None, "malformed"),
        ("\uff11", None, "malformed"),
        ("", None, "malformed"),
        (None, None, "malformed"),
    ],
)
def test_strict_and_lenient_reading(said, action, how):
    sentences = metarl_envs.tasks("DarkRoom").variant.family.sentences_in(metarl_envs.tasks("DarkRoom").variant.p, None)
    found, reading = read(sentences, said, lenient=True)
    assert reading == how
    assert found.action == (0 if action is None else action), "staying is the default"
    assert read(sentences, said)[1] == ("strict" if how == "strict" else "malformed")


def test_numbers_outside_of_a_box_are_said_back():
    sentences = sentences_of(spaces.Box(-1, 1, (2,), np.float32))
    for said, why in [("0 2", "number 2, '2', lies outside of -1 to 1"), ("0 nan", "no action"), ("0 1e999", "lies outside")]:
        assert why in sentences.parse(said).problem
    assert "0 1e9 0" in sentences.parse("0 1e9 0").problem


def test_what_is_no_sentence_is_said_back_and_then_the_default_is_taken():
    env, _ = opened("DarkRoom", retries=1)
    answer = env.step("fly")
    assert answer.startswith("('fly' is no action. You can say: 'stay' (0)")
    assert "Nothing was done." in answer
    assert (env.malformed, env.defaults, env.actions) == (1, 0, [])
    assert "In its place you did: stay." in env.step("fly")
    assert (env.malformed, env.defaults, [int(action) for action in env.actions]) == (2, 1, [0])
    env.step("fly")
    env.step("up")
    assert (env.malformed, env.defaults, [int(action) for action in env.actions]) == (3, 1, [0, 1])


def test_a_sentence_of_two_steps_takes_both_but_never_past_a_dawn():
    env, _ = opened("AmnesiaBox", day=3)
    words = sorted(env.text.split("You have: ")[1].split(".")[0].split(", "))
    env.step(f"combine {words[0]} with {words[1]}")
    assert len(env.actions) == 2
    morning = env.step(f"combine {words[0]} with {words[1]}")
    assert len(env.actions) == 3
    assert "You have tried nothing yet." in morning
    other, _ = opened("AmnesiaBox", day=3)
    for _ in range(3):
        told = other.step("wait")
    assert told == morning, "whatever was said in the evening"


def nonsense(rng, words):
    """Adversarial sentences."""
    kind = rng.randrange(8)
    if kind == 0:
        return "".join(rng.choice(string.printable) for _ in range(rng.randrange(60)))
    if kind == 1:
        return "".join(chr(rng.choice([rng.randrange(0x110000), rng.randrange(0xD800, 0xE000), 0x202E, 0])) for _ in range(20))
    if kind == 2:
        return " ".join(rng.choice(words) for _ in range(rng.randrange(6)))
    if kind == 3:
        return rng.choice(["{0.__class__}", "%s%n", "__import__('os')", "$(reboot)", "../../etc/passwd", "[bold]", "<script>"])
    if kind == 4:
        return str(rng.choice([1e308, -(10**30), float("nan"), 10**400, "٣", "1_0", "0x1", "+1", "-0", "1e-9"]))
    if kind == 5:
        return rng.choice([None, 3, b"up", ["up"], {"a": 1}, float("inf"), object()])
    if kind == 6:
        return rng.choice(["answer: ", "```\n", "> ", '"', "**"]) * rng.randrange(1, 40) + rng.choice(words)
    return "(" * rng.randrange(2000) + "\n" * rng.randrange(200)


def fuzz(id, count, seed):
    env, _ = opened(id, lenient=True, retries=3)
    rng, steps = random.Random(seed), 0
    words = [*env.text.split(), *env.rules().split()]
    read_so_far = malformed = 0
    for _ in range(count):
        if env.done:
            steps += len(env.actions)
            read_so_far, malformed = 0, 0
            env.reset()
        before = len(env.actions)
        answer = env.step(nonsense(rng, words))
        assert isinstance(answer, str)
        if env.malformed > malformed:
            malformed += 1
            assert len(env.actions) - before in (0, 1)
        else:
            read_so_far += 1
            assert len(env.actions) - before in (1, 2)
        assert env.malformed == malformed
    return steps


def test_no_text_breaks_an_environment():
    """Every reply is either a sentence or counted as none; the rest of 100,000 is in a slow test."""
    for k, id in enumerate(["DarkRoom", "PointRobot", "AmnesiaBox"]):
        fuzz(id, 1000, k)


@pytest.mark.slow
def test_no_text_of_many_breaks_an_environment():
    for k, id in enumerate(IDS):
        fuzz(id, 100_000 // len(IDS) + 1, k)


# ------------------------------------------------------------------------------------------------- many at once
def test_instances_are_independent_in_threads():
    """Each of eight threads, stepping side by side, has what it has alone; the global generator is as it was."""

    def trial(index):
        env = text.make("GaussianBandit", index=index, seed=7, horizon=30)
        told = [env.reset()]
        while not env.done:
            told.append(env.step(str(len(told) % 5)))
        return told

    np.random.seed(1)
    random.seed(1)
    alone, side_by_side = [trial(i) for i in range(8)], [None] * 8
    threads = [threading.Thread(target=lambda i=i: side_by_side.__setitem__(i, trial(i))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert side_by_side == alone
    assert alone[0] != alone[1]
    assert (np.random.random(), random.random()) == (0.417022004702574, 0.13436424411240122)


def test_it_is_played_in_the_terminal_and_written_down(tmp_path):
    from typer.testing import CliRunner

    given = [
        "play",
        "DarkRoom",
        "--text",
        "--seed",
        "4",
        "--episodes",
        "1",
        "--param",
        "horizon=3",
        "--out",
        str(tmp_path / "me"),
    ]
    done = CliRunner().invoke(app, given, input="up\nfly\n2\nDOWN.\n")
    assert done.exit_code == 0, done.output
    assert "'fly' is no action" in done.output
    run = load(tmp_path / "me")
    assert (run.actions.tolist(), run.seats, run.seeds.tolist()) == ([[1, 2, 3]], ("person",), [4])
    again = CliRunner().invoke(app, given, input="up\n")
    assert again.exit_code != 0
    assert "me.npz is there already" in str(again.exception)
    cut = CliRunner().invoke(app, [*given[:-1], str(tmp_path / "cut")], input="up\n")
    assert "the trial is not over" in cut.output
    assert load(tmp_path / "cut").actions.tolist() == [[1]]


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ({"index": -1}, ValueError, "index=-1"),
        ({"index": 99, "split": "test"}, IndexError, "99"),
        ({"seed": 1.5}, TypeError, "seed=1.5"),
        ({"retries": -1}, ValueError, "retries=-1"),
        ({"lenient": "yes"}, TypeError, "lenient='yes'"),
        ({"sizes": 3}, TypeError, "sizes"),
    ],
)
def test_wrong_arguments_are_named(given, error, why):
    with pytest.raises(error, match=why):
        text.make("DarkRoom", **given)
