"""Whoever acts: one contract in three forms, one factory rule, one reading of who plays; and the runs that come of it."""

import json
import random
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import metarl_envs
from metarl_envs import boxes, evaluation
from metarl_envs.boxes.envs.parallel import ParallelBox
from metarl_envs.boxes.scenarios.amnesia import AmnesiaBox
from metarl_envs.engine import Player, kernel, record
from metarl_envs.evaluation import diagnostics, joined
from metarl_envs.histories import collect
from metarl_envs.learners import QLearning, Random
from metarl_envs.players import PlayerError, Run, Seat, Wrapped, load
from metarl_envs.players.lifetimes import live
from metarl_envs.players.run import cut_off
from metarl_wrappers import VectorForgetEachEpisode
from tests.fuzzing import bytes_mutant, json_mutant

pytestmark = pytest.mark.plain

ROOM = {"size": 3, "horizon": 6}
#: Two days of four steps.
BOX = {"agents": 3, "horizon": 8, "day": 4, "notes": 2, "free_reading": True, "lineages": 1, "levels": 3, "width": 2}
BOX |= {"bases": 4, "recipes": 1, "crossover": 0, "topology": "full", "dead_ends": 0.0}


# ------------------------------------------------------------------------------------------------- one player, three forms
@kernel
def turn_by_steps(hyper, memory, seen, rng):
    """Actions in turn, beginning with what the reward was."""
    memory.n += 1
    return (memory.n + memory.paid) % 5


@kernel
def count_reward(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Add up what was paid."""
    memory.paid += 1 if reward > 0 else 0


class Turning(Player):
    """Takes actions in turn, and skips one for each reward."""

    observes = "observation"
    act, learn = turn_by_steps, count_reward

    @staticmethod
    def memory(p, variant):
        return record(n=np.int64, paid=np.int64)


class TurningBatch:
    def __init__(self, *, num_envs, observation_space, action_space, seed):
        self.n, self.paid = np.zeros(num_envs, int), np.zeros(num_envs, int)

    def act(self, step):
        assert step.memory_reset[self.n == 0].all()
        self.n, self.paid = self.n + 1, self.paid + (step.previous_reward > 0)
        return (self.n + self.paid) % 5


class TurningAlone:
    def __init__(self, *, seat, observation_space, action_space, seed):
        assert (seat, action_space.n) == (0, 5)
        self.n = self.paid = 0

    def act(self, moment):
        self.n, self.paid = self.n + 1, self.paid + (moment.previous_reward > 0)
        return (self.n + self.paid) % 5


def room(**params):
    tasks = metarl_envs.tasks("DarkRoom", **ROOM, **params)
    return tasks.variant, tasks.rows(4)


def lived(player, episodes=3, **params):
    variant, rows = room(**params)
    return live(player, variant, rows, np.arange(4) + 7, episodes=episodes)


@pytest.mark.parametrize("once", [False, True])
def test_a_player_does_the_same_in_each_form(once):
    (run, scores), *others = (lived(player, once=once) for player in (Turning(), TurningBatch, Seat(TurningAlone)))
    assert run.returns.sum() > 0
    for other, earned in others:
        assert np.array_equal(other.actions, run.actions)
        assert np.array_equal(other.steps, run.steps)
        assert np.array_equal(other.endings, run.endings)
        assert earned.tobytes() == scores.tobytes()
    assert (len(set(run.steps.tolist())) > 1) == once, "lives of different lengths, where a goal ends an episode"


class Waits:
    """A player in a box who waits, in both forms; told what it is shown."""

    def __init__(self, *, action_space, observation_space, seed, num_envs=None, seat=None):
        self.rows, self.wait = num_envs, 4 + 2 * 2
        self.space = observation_space

    def act(self, told):
        if self.rows is None:
            assert self.space.contains(told.observation)
            return self.wait
        assert told.observation["action_mask"].shape[0] == self.rows == len(told.previous_action)
        return np.full(self.rows, self.wait)


def test_in_a_box_compiled_players_batches_and_single_players_sit_side_by_side():
    def played(first, second):
        return boxes.run("AmnesiaBox", {0: "greedy", 1: first, 2: second}, boxes=2, seed=3, **BOX)

    runs = [played(Waits, Seat(Waits)), played(Seat(Waits), Waits), played(Seat(Waits), Seat(Waits))]
    assert runs[0].seats == ("greedy", "Waits", "Waits")
    assert all(np.array_equal(run.actions, runs[0].actions) for run in runs)
    assert all(np.array_equal(run.endings, runs[0].endings) for run in runs)
    assert len(set(runs[0].actions[:, :, 0].ravel().tolist())) > 1


def test_a_moment_has_words():
    said = []

    class Reads(Waits):
        def act(self, moment):
            said.append(moment.words)
            return super().act(moment)

    boxes.run("AmnesiaBox", {"all": Seat(Reads)}, boxes=1, seed=4, **BOX)
    text = boxes.TextBox(ParallelBox(AmnesiaBox, **BOX))
    told, _ = text.reset(seed=4)
    for step in range(8):
        assert said[3 * step : 3 * step + 3] == list(told.values()), "the words that a TextBox tells"
        told, *_ = text.step(dict.fromkeys(text.agents, "wait"))
    seen = []

    class Looks(TurningAlone):
        def act(self, moment):
            seen.append((moment.words, moment.observation.tolist()))
            return super().act(moment)

    lived(Seat(Looks))
    assert all(words.splitlines()[-1].startswith(f"You are at x {x}, y {y} of a room of") for words, (x, y) in seen)
    assert any("It paid 1." in words for words, _ in seen)


# ------------------------------------------------------------------------------------------------- the factory rule
def test_factories_are_called_when_lives_begin_and_at_dawns_with_the_same_names():
    made = []

    def batch(**told):
        made.append(told)
        return Waits(**told)

    boxes.run("AmnesiaBox", {0: batch, 2: batch, "others": "greedy"}, boxes=3, **BOX)
    assert [told["num_envs"] for told in made] == [6, 6], "one for all seats of all boxes, at the beginning and at the dawn"
    assert made[0]["seed"] != made[1]["seed"]
    assert made[0]["observation_space"] is not made[1]["observation_space"]
    made.clear()
    boxes.run("AmnesiaBox", {0: Seat(batch), "others": "greedy"}, boxes=3, **BOX)
    assert [told["seat"] for told in made] == [0] * 6
    assert len({told["seed"] for told in made}) == 6
    assert {frozenset(told) for told in made} == {frozenset(("seat", "observation_space", "action_space", "seed"))}


def test_in_a_seat_that_forgets_at_dawn_the_factory_is_called_at_dawn():
    made = []

    class Agent:
        def __init__(self, *, num_envs, seed, **_):
            made.append(seed)
            self.rows = num_envs

        def act(self, step):
            return np.ones(self.rows, int)

    tasks = metarl_envs.tasks("AmnesiaBox", **{**BOX, "agents": 1})
    live(Agent, tasks.variant, tasks.rows(2), np.arange(2), episodes=2, seed=11)
    assert len(made) == 3 or len(made) == 4
    assert made[0] == 11
    assert len(set(made)) == len(made)


def test_a_control_that_plays_forgetting_tells_so_and_calls_no_factory():
    made, told = [], []

    class Agent(TurningBatch):
        def __init__(self, **given):
            made.append(1)
            super().__init__(**given)

        def act(self, step):
            told.append(step.memory_reset.all())
            self.n[step.memory_reset] = 0
            return super().act(step)

    lived(Wrapped(Agent, VectorForgetEachEpisode))
    assert (len(made), sum(told)) == (1, 3)


def test_an_object_that_is_given_out_twice_is_refused_everywhere():
    only = TurningBatch(num_envs=4, observation_space=None, action_space=None, seed=0)
    with pytest.raises(PlayerError, match="returned an object again"):
        metarl_envs.evaluate("DarkRoom", {"mine": lambda **_: only}, tasks=4, episodes=1, seeds=2, split=None, **ROOM)
    alone = TurningAlone(seat=0, observation_space=None, action_space=gym.spaces.Discrete(5), seed=0)
    with pytest.raises(PlayerError, match=r"seat 0 of row 1 failed at step 0 .*returned an object again"):
        lived(Seat(lambda **_: alone))


# ------------------------------------------------------------------------------------------------- who plays
@pytest.mark.parametrize(
    ("player", "error", "why"),
    [
        ("nobody", ValueError, "'nobody' does not suit"),
        (QLearning, TypeError, r"is the class QLearning: write QLearning\(\)"),
        (7, TypeError, "7"),
    ],
)
def test_who_plays_is_read_alike_everywhere(player, error, why):
    with pytest.raises(error, match=why):
        metarl_envs.evaluate("DarkRoom", [player] if player != 7 else {"x": 7}, **ROOM)
    with pytest.raises(error, match=why):
        collect("DarkRoom", player, histories=1, steps=1, **ROOM)
    with pytest.raises(error, match=why):
        boxes.run("AmnesiaBox", {"all": player}, **BOX)
    with pytest.raises(error, match=why):
        diagnostics.compare({"x": player}, "GapBandit")


def test_players_of_another_kind_of_world_are_refused():
    with pytest.raises(ValueError, match="sits in the seats of boxes"):
        metarl_envs.evaluate("DarkRoom", {"x": boxes.players.scripted.Greedy()}, **ROOM)
    with pytest.raises(ValueError, match="player: QLearning needs Discrete actions"):
        boxes.run("AmnesiaBox", {"all": QLearning()}, **BOX)
    with pytest.raises(TypeError, match="a box has none"):
        boxes.run("AmnesiaBox", {"all": Wrapped(Waits)}, **BOX)


def test_learners_and_references_are_collected_by_name():
    by_name = collect("DarkRoom", "oracle", histories=2, steps=9, split=None, **ROOM)
    assert by_name.rewards.sum() > 0
    assert np.array_equal(
        collect("DarkRoom", "q_learning", histories=2, steps=9, split=None, **ROOM).actions,
        collect("DarkRoom", QLearning(), histories=2, steps=9, split=None, **ROOM).actions,
    )


# ------------------------------------------------------------------------------------------------- runs
def test_all_that_an_agent_was_shown_follows_from_the_run():
    shown = []

    class Keeps(TurningBatch):
        def act(self, step):
            shown.append((np.array(step.observation), step.previous_reward, step.terminated, step.truncated))
            return super().act(step)

    run, _ = lived(Keeps)
    written = run.columns()
    assert np.array_equal(np.stack([seen for seen, *_ in shown], axis=1), written.columns["observation"])
    assert np.array_equal(np.stack([paid for _, paid, *_ in shown[1:]], axis=1), written.columns["reward"][:, :-1])
    assert np.array_equal(np.stack([told for *_, told in shown[1:]], axis=1), written.columns["truncated"][:, :-1])
    assert written.episodes.tolist() == [3] * 4
    assert run.actions.dtype == np.uint8


def test_scores_labels_and_internals_follow_from_the_run():
    variant, rows = room(once=True)
    run, scores = live(QLearning(), variant, rows, np.arange(4), episodes=5)
    assert run.scores().tobytes() == scores.tobytes()
    told = run.columns(labels=["q_star", "regret", "optimal_action"], internals=["epsilon", "td_error"], player=QLearning())
    steps, columns = run.steps, told.columns
    assert len(set(steps.tolist())) > 1
    for i in range(4):
        q, regret = columns["q_star"][i, : steps[i]], columns["regret"][i, : steps[i]]
        assert np.array_equal(regret, q.max(axis=1) - q[np.arange(steps[i]), run.actions[i, : steps[i]]])
        assert (columns["regret"][i, steps[i] :] == 0).all()
        assert columns["epsilon"][i, 0] == np.float32(0.1)
        assert columns["reward"][i].sum() == run.returns[i]
    with pytest.raises(ValueError, match="give the player that acted"):
        run.columns(internals=["epsilon"])
    with pytest.raises(ValueError, match="acts otherwise than 'QLearning"):
        run.columns(internals=["epsilon"], player=QLearning(epsilon=0.9))


def test_a_run_of_a_family_is_saved_and_loaded_and_lived_again(tmp_path):
    run, scores = lived(TurningBatch, once=True)
    archive, about = run.save(tmp_path / "run")
    again = load(archive)
    assert isinstance(again, Run)
    assert again.fingerprint == run.fingerprint
    assert again.scores().tobytes() == scores.tobytes()
    assert np.array_equal(again[1:3].columns().columns["reward"].sum(axis=1), run.returns[1:3])
    header = json.loads(about.read_text())
    about.write_text(json.dumps({**header, "episodes": 2}))
    with pytest.raises(ValueError, match=r"do not belong together|actions is"):
        load(archive)
    about.write_text(json.dumps({**header, "family": "metarl_envs.files:versions"}))
    with pytest.raises(ValueError, match=r"is not a family|has no id"):
        load(archive)


def test_a_run_under_other_rules_is_refused(monkeypatch):
    run, _ = lived(Turning())
    other = Run(**{**vars(run), "variant": run.variant.family.with_params(**{**run.params, "size": 5})})
    with pytest.raises(ValueError, match="ends otherwise"):
        other.scores()
    richer = Run(**{**vars(run), "returns": run.returns + 1})
    with pytest.raises(ValueError, match="ends otherwise"):
        richer.columns()


def test_a_player_that_fails_leaves_what_was_played(tmp_path):
    class Fails(TurningAlone):
        def act(self, moment):
            if self.n == 9:
                raise ConnectionError("the line is dead")
            return super().act(moment)

    with pytest.raises(PlayerError, match=r"seat 0 of row 0 failed at step 9 .*the line is dead") as caught:
        lived(Seat(Fails))
    whole, _ = lived(Turning())
    run = caught.value.run
    assert np.array_equal(run.actions, whole.actions[:, :9])
    assert run.columns().episodes.tolist() == [2] * 4
    run.save(tmp_path / "run")
    assert np.array_equal(load(tmp_path / "run").endings, run.endings)
    with pytest.raises(ValueError, match="was cut off"):
        run.scores()


class VectorTurnedActions(gym.vector.VectorActionWrapper):
    """What the agent calls 0 is action 4."""

    def actions(self, actions):
        return 4 - actions


def test_through_wrappers_the_run_holds_the_actions_of_the_environment():
    class Zero(TurningBatch):
        def act(self, step):
            assert (step.previous_action[~step.memory_reset] == 0).all()
            return np.zeros(len(self.n), int)

    run, scores = lived(Wrapped(Zero, VectorTurnedActions))
    assert (run.actions == 4).all()
    assert run.seats[0].endswith("Zero through VectorTurnedActions")
    assert np.array_equal(scores.sum(axis=1), run.returns)


def test_posteriors_follow_from_the_run():
    tasks = metarl_envs.tasks("BernoulliBandit", arms=2, horizon=6)
    run, _ = live(Random(), tasks.variant, tasks.rows(3), np.arange(3), episodes=1)
    told = [truth["posterior"] for truth in run.ground_truth()]
    rewards = run.columns().columns["reward"]
    assert len(told) == 7
    for arm in range(2):
        pulled = run.actions == arm
        assert np.array_equal(told[-1]["a"][:, arm] - told[0]["a"][:, arm], (rewards * pulled).sum(axis=1))
        assert np.array_equal(told[-1]["b"][:, arm] - told[0]["b"][:, arm], ((1 - rewards) * pulled).sum(axis=1))


def test_rows_of_different_lengths_are_replayed_together_as_alone():
    whole, _ = lived(Turning(), once=True)
    cut = cut_off(replace(whole, steps=whole.steps - [0, 3, 0, 1]))
    for run in (whole, cut):
        assert len(set(run.steps.tolist())) > 1
        together, told = [states.copy() for states in run.replay()], list(run.ground_truth())
        for i in range(4):
            one = run[i : i + 1]
            assert one.actions.shape == (1, run.steps[i])
            alone, told_alone = [states.copy() for states in one.replay()], list(one.ground_truth())
            assert len(alone) == len(told_alone) == run.steps[i] + 1
            for t in range(len(together)):
                last = min(t, run.steps[i])
                assert together[t][i] == alone[last][0]
                for name in ("q_star", "regret", "posterior", "task_id"):
                    assert np.array_equal(told[t][name][i], told_alone[last][name][0])
    assert len(together) == len(told) == cut.steps.max() + 1


def test_what_is_written_after_the_end_of_a_row_means_nothing():
    run, _ = lived(Turning(), once=True)
    other = replace(run, actions=run.actions.copy())
    for i in range(4):
        other.actions[i, run.steps[i] :] = 99  # outside the space
    assert [states.tobytes() for states in other.replay()] == [states.tobytes() for states in run.replay()]
    assert [truth["regret"].tolist() for truth in other.ground_truth()] == [
        truth["regret"].tolist() for truth in run.ground_truth()
    ]


def test_a_run_of_boxes_is_computed_from_like_any_other():
    run = boxes.run("AmnesiaBox", {"all": "greedy"}, boxes=3, **BOX)
    assert run.returns.sum() > 0
    assert np.array_equal(run.scores()[:, 0], run.returns)
    columns = run.columns().columns
    assert np.array_equal(columns["reward"].sum(axis=1), run.returns)
    assert columns["observation"]["observation"].shape[:3] == (3, 8, 3)
    assert sum(states["reward"].sum() for states in run.replay()) == run.returns.sum()
    with pytest.raises(ValueError, match="sits in a seat of a box"):
        run.columns(player=boxes.players.scripted.Greedy())


# ------------------------------------------------------------------------------------------------- results
def evaluated(seeds, **arguments):
    policies = {"mine": TurningBatch, "q": QLearning(), "../x": "oracle"}
    return metarl_envs.evaluate("DarkRoom", policies, tasks=3, episodes=4, lifetimes=2, seeds=seeds, **ROOM, **arguments)


def test_a_result_keeps_its_runs_and_is_asked_later_for_what_was_not_asked_at_first(tmp_path):
    result = evaluated(2)
    assert sum(run.actions.nbytes for run in result.runs.values()) == 3 * 2 * 3 * 2 * 4 * 6
    result.save(tmp_path / "out")
    again = evaluation.load(tmp_path / "out")
    assert again.as_json() == result.as_json()
    for name, raw in result.raw.items():
        assert again.raw[name].tobytes() == raw.tobytes()
        assert result.run(name).scores().tobytes() == raw.tobytes(), "rows are in the order of [seed, task, lifetime]"
    q = again.run("../x").columns(labels=["q_star", "regret"]).columns
    assert q["q_star"].shape == (12, 24, 5)
    assert q["regret"].max() == 0, "the oracle gives nothing away"
    assert again.run("mine").columns(labels=["regret"]).columns["regret"].max() > 0
    with pytest.raises(ValueError, match=r"there are: mine, q, \.\./x"):
        again.run("yours")


def test_results_of_several_seeds_are_joined_with_their_runs():
    whole, parts = evaluated(2), joined([evaluated([0]), evaluated([1])])
    assert all(np.array_equal(parts.run(name).actions, run.actions) for name, run in whole.runs.items())
    assert all(np.array_equal(parts.run(name).scores(), run.scores()) for name, run in whole.runs.items())


def test_files_of_a_result_that_do_not_belong_together_are_refused(tmp_path):
    evaluated(1).save(tmp_path / "a")
    evaluated([1]).save(tmp_path / "b")
    for name in ("1.npz", "1.json"):
        (tmp_path / "b" / "runs" / name).replace(tmp_path / "a" / "runs" / name)
    with pytest.raises(ValueError, match="the run of 'q' is not of this result"):
        evaluation.load(tmp_path / "a")
    (tmp_path / "a" / "scores.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"scores\.npz is no result"):
        evaluation.load(tmp_path / "a")
    (tmp_path / "a" / "result.json").write_text("[]")
    with pytest.raises(ValueError, match=r"result\.json is no result"):
        evaluation.load(tmp_path / "a")


def test_a_damaged_result_is_refused_or_is_the_result_that_was_saved(tmp_path):
    result = metarl_envs.evaluate("DarkRoom", "q_learning", tasks=2, episodes=2, seeds=1, **ROOM)
    result.save(tmp_path)
    rng, refused = random.Random(0), 0
    whole = {path: path.read_bytes() for path in (tmp_path / "result.json", tmp_path / "scores.npz")}
    about, archive = whole
    for _ in range(150):
        header = json.dumps(json_mutant(json.loads(whole[about]), rng)).encode()
        for path, content in ((about, header), (archive, bytes_mutant(whole[archive], rng))):
            path.write_bytes(content)
            try:
                again = evaluation.load(tmp_path)
            except ValueError as error:
                refused += 1
                assert str(tmp_path) in str(error)  # noqa: PT017
            else:
                assert again.raw["q_learning"].tobytes() == result.raw["q_learning"].tobytes()
            path.write_bytes(whole[path])
    assert refused > 150
