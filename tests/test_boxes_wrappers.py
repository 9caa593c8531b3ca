"""Wrappers over boxes with one row an agent: in every autoreset mode they tell what the boxes below told."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode

import metarl_envs
import metarl_wrappers
from metarl_envs.boxes.envs.batch import make_vec
from metarl_envs.boxes.envs.seats import AmnesiaSeat
from metarl_envs.players import lifetimes

#: The layout of rows of `test_boxes_api`, in trials of five steps.
#: What wrappers show is logic: compiled, each layout of boxes would take ten seconds.
pytestmark = pytest.mark.plain
SHORT = {
    "agents": 3,
    "notes": 2,
    "board": 1,
    "page": 1,
    "lineages": 1,
    "levels": 3,
    "width": 2,
    "bases": 4,
    "recipes": 1,
    "dead_ends": 0.0,
    "crossover": 0,
    "horizon": 5,
}
MODES = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
#: Without days; days that end within a trial; a day that ends with it.
DAYS = pytest.mark.parametrize("day", [0, 2, 5], ids=lambda day: f"day={day}")
#: How many transitions `VectorContext` shows.
LENGTH = 3


def live(mode, wrap, steps=14, day=0):
    """Random lives of two boxes, step by step: what the wrapper gave, what the boxes below gave, the actions."""
    below = make_vec("InventionBox", 2, flat=True, autoreset_mode=mode, **SHORT, day=day)
    above = wrap(make_vec("InventionBox", 2, flat=True, autoreset_mode=mode, **SHORT, day=day))
    rng = np.random.default_rng(0)
    yield above.reset(seed=3), below.reset(seed=3), None
    for _ in range(steps):
        actions = rng.integers(0, below.single_action_space.n, below.num_envs)
        result, plain = above.step(actions), below.step(actions)
        yield result, plain, actions
        if mode is AutoresetMode.DISABLED and (over := plain[2] | plain[3]).any():
            yield *(env.reset(options={"reset_mask": over}) for env in (above, below)), None


def rows_of(observations):
    """A batch of observations, or an array of objects, row by row."""
    if isinstance(observations, np.ndarray):
        return list(observations)
    return [{name: array[i] for name, array in observations.items()} for i in range(6)]


def lasts(info, mode):
    """The last observations of the trials that ended, by row."""
    trial = info["trial"] if mode is not AutoresetMode.SAME_STEP else info.get("final_info", {}).get("trial", {})
    ended = trial.get("inner_truncated", np.zeros(6, bool))
    finals = info["final_obs"] if mode is AutoresetMode.SAME_STEP and ended.any() else trial.get("final_obs")
    return {row: rows_of(finals)[row] for row in np.flatnonzero(ended)}


def dawns(info, mode):
    """The rows whose memory the step took."""
    taken = info["memory_reset"]
    if mode is AutoresetMode.SAME_STEP and "final_info" in info:
        taken = np.where(info["_final_info"], info["final_info"]["memory_reset"], taken)
    return taken & ~info["trial"]["action_ignored"]


def transitions(mode, wrap, day):
    """What every row was shown, beside what of its trial it may know, whether that starts, and whether its memory does."""
    past, before = [[] for _ in range(6)], None
    for result, plain, actions in live(mode, wrap, day=day):
        (seen, info), (rows, plain_info) = (result[0], result[-1]), (rows_of(plain[0]), plain[-1])
        final = lasts(plain_info, mode) if actions is not None else {}
        shown_last = lasts(info, mode) if actions is not None else {}
        assert final.keys() == shown_last.keys()
        for i in range(6):
            if actions is not None and not plain_info["trial"]["action_ignored"][i]:
                past[i].append((before[i], actions[i], plain[1][i], i in final))
            if actions is not None and dawns(plain_info, mode)[i]:
                past[i] = []
            if i in final:
                yield shown_last[i], final[i], past[i], False
            starts = plain_info["trial"]["trial_start"][i]
            if starts:
                past[i] = []
            if i not in final or mode is AutoresetMode.SAME_STEP:
                yield rows_of(seen)[i], rows[i], past[i], starts
        before = rows


def one_hot(action):
    return (np.arange(19) == action).astype(np.int8)


def equal(shown, expected):
    assert shown.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(shown[name], array, err_msg=name)


@MODES
@DAYS
def test_previous_steps_of_the_day_are_shown(mode, day):
    paid = 0.0
    flat = transitions(mode, lambda envs: metarl_wrappers.VectorPreviousStep(envs, flat=True), day)
    for shown, seen, past, starts in transitions(mode, metarl_wrappers.VectorPreviousStep, day):
        _, action, reward, _ = past[-1] if past else (None, -1, 0.0, False)
        expected = {
            "action_mask": seen["action_mask"],
            "observation": seen["observation"],
            "previous_action": one_hot(action),
            "previous_reward": np.float32([reward]),
            "previous_terminated": np.int8([0]),
            "episode_start": np.int8([starts]),
        }
        equal(shown, expected)
        assert np.array_equal(next(flat)[0], np.concatenate(list(expected.values())))
        paid += reward
    assert paid > 0 or day
    assert next(flat, None) is None


@MODES
@DAYS
def test_contexts_of_the_day_are_shown(mode, day):
    for shown, seen, past, _ in transitions(mode, lambda envs: metarl_wrappers.VectorContext(envs, LENGTH), day):
        window = {f"context_{name}": np.zeros((LENGTH, *array.shape), array.dtype) for name, array in seen.items()}
        window["context_action"] = np.zeros((LENGTH, 19), np.int8)
        window["context_reward"] = np.zeros(LENGTH, np.float32)
        window |= {f"context_{name}": np.zeros(LENGTH, np.int8) for name in ("terminated", "truncated", "mask")}
        for k, (before, action, reward, truncated) in enumerate(past[-LENGTH:], LENGTH - len(past[-LENGTH:])):
            for name, array in before.items():
                window[f"context_{name}"][k] = array
            window["context_action"][k], window["context_reward"][k] = one_hot(action), reward
            window["context_truncated"][k], window["context_mask"][k] = truncated, 1
        equal(shown, {**seen, **window})


@MODES
@DAYS
def test_streams_of_context_of_the_day_are_shown(mode, day):
    for shown, seen, past, _ in transitions(mode, metarl_wrappers.VectorContextStream, day):
        nothing = {name: np.zeros_like(array) for name, array in seen.items()}
        before, action, reward, truncated = past[-1] if past else (nothing, -1, 0.0, False)
        expected = {f"context_{name}": array for name, array in before.items()}
        expected |= {"context_action": one_hot(action), "context_reward": np.float32([reward])}
        flags = {"terminated": 0, "truncated": truncated, "mask": bool(past), "clear": not past}
        expected |= {f"context_{name}": np.int8([flag]) for name, flag in flags.items()}
        equal(shown, {**seen, **expected})


@MODES
@pytest.mark.parametrize(
    ("name", "pays"),
    [("HideReward", 0.0), ("NegateReward", -1.0), ("ForgetEachEpisode", 1.0), ("HideBoundaries", 1.0), ("SwapReward", None)],
)
def test_controls_show_the_observations_that_there_are(mode, name, pays):
    for result, plain, actions in live(mode, getattr(metarl_wrappers, f"Vector{name}")):
        equal(result[0], plain[0])
        if actions is not None:
            assert pays is None or np.array_equal(result[1], pays * plain[1])
            if name != "HideBoundaries":
                assert same_lasts(lasts(result[-1], mode), lasts(plain[-1], mode))


def same_lasts(shown, final):
    return shown.keys() == final.keys() and all(
        np.array_equal(shown[row][name], array) for row in final for name, array in final[row].items()
    )


@MODES
def test_where_no_trial_ended_last_observations_are_zero(mode):
    """Of the right shapes and dtypes, and as they are elsewhere in this package."""
    for _, plain, actions in live(mode, lambda envs: envs):
        final, info = plain[-1]["trial"]["final_obs"], plain[-1]
        ended = np.zeros(6, bool) if actions is None else info["trial"]["inner_truncated"]
        assert final.keys() == plain[0].keys()
        for name, seen in plain[0].items():
            array = final[name]
            assert array.shape == seen.shape
            assert array.dtype == seen.dtype
            assert not array[~ended].any()
            assert np.array_equal(array[ended], seen[ended])


@pytest.mark.parametrize(
    "seed", [np.int64(7), np.uint8(7), np.array([7, 1, 2, 8, 0, 0]), [np.int32(7), None, None, np.int64(8), 0, 0]]
)
def test_integers_of_any_kind_are_seeds(seed):
    for flat in (True, False):
        envs = make_vec("InventionBox", np.int64(2), flat=flat, **{**SHORT, "horizon": np.int64(5)})
        given = seed if flat or np.ndim(seed) == 0 else seed[::3]
        seen, expected = envs.reset(seed=given)[0], make_vec("InventionBox", 2, flat=flat, **SHORT).reset(seed=7)[0]
        equal(seen, expected)
        noise = (envs.boxes if flat else envs).worlds["noise"].tolist()
        envs.reset(seed=7)
        assert (envs.boxes if flat else envs).worlds["noise"].tolist() == noise


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "7", True, np.zeros((6, 1), int), [0] * 5, [1.5] * 6])
def test_what_is_no_seed_is_refused_and_nothing_moves(seed):
    envs = make_vec("InventionBox", 2, flat=True, **SHORT)
    envs.reset(seed=0)
    before = envs.get_state()
    with pytest.raises((TypeError, ValueError), match="seed"):
        envs.reset(seed=seed)
    after = envs.get_state()
    assert all(np.array_equal(after[name], before[name]) for name in ("worlds", "task_rows"))


@MODES
def test_actions_that_a_permuted_mask_allows_are_allowed_in_the_box(mode):
    envs = metarl_wrappers.VectorPermuteActions(make_vec("InventionBox", 2, flat=True, autoreset_mode=mode, **SHORT), seed=1)
    rng, illegal = np.random.default_rng(0), 0
    seen, info = envs.reset(seed=3)
    for choose_allowed in [True] * 14 + [False] * 5:
        wanted = seen["action_mask"] if choose_allowed else 1 - seen["action_mask"]
        _, _, terminated, truncated, info = result = envs.step((rng.random(wanted.shape) * wanted).argmax(axis=1))
        seen, over = result[0], terminated | truncated
        illegal += envs.unwrapped.illegal.sum() + info.get("final_info", {}).get("illegal", np.zeros(6)).sum()
        assert (illegal == 0) == choose_allowed or info["trial"]["action_ignored"].all()
        if mode is AutoresetMode.DISABLED and over.any():
            seen, _ = envs.reset(options={"reset_mask": over})


# ------------------------------------------------------------------------------------------------- seats
SEAT = {key: value for key, value in SHORT.items() if key != "agents"} | {"agents": 1, "day": 2, "horizon": 4}


def evening(mode, wrap, offset, episodes):
    """What seats in three boxes are shown, whose agent does something else in the first step of each episode by `offset`."""
    if mode is None:
        env = wrap(gym.make("metarl_envs:MetaRL/AmnesiaBox-v0", episodes_per_trial=episodes, **SEAT))
    else:
        kwargs = {"num_envs": 3, "autoreset_mode": mode, "episodes_per_trial": episodes}
        env = wrap(gym.make_vec("metarl_envs:MetaRL/AmnesiaBox-v0", **kwargs, **SEAT))
    seen, info = env.reset(seed=0)
    shown = [seen]
    for step in range(4 * episodes):
        action = 1 + offset * (step % 4 == 0)  # to take another base into the hand, which dawn empties
        seen, *_, info = env.step(action if mode is None else np.full(3, action))
        shown.append(seen)
    return shown, info


@pytest.mark.parametrize("mode", [None, *AutoresetMode], ids=lambda mode: "single" if mode is None else mode.name)
@pytest.mark.parametrize("name", ["PreviousStep", "Context", "ContextStream"])
def test_a_seat_is_shown_nothing_of_the_day_before(name, mode):
    """Two lives that differ before dawn alone are shown alike from dawn on, whether or not an episode begins then."""
    form = getattr(metarl_wrappers, name if mode is None else f"Vector{name}")
    arguments = {"length": LENGTH} if name == "Context" else {}
    (one, info), (other, _) = (evening(mode, lambda env: form(env, **arguments), offset, episodes=2) for offset in (0, 1))
    differ = [step for step in range(len(one)) if not data_equivalence(one[step], other[step])]
    assert differ == [1, 5]
    if name == "PreviousStep" and mode is not AutoresetMode.SAME_STEP:
        assert not np.any(info["trial"]["final_obs"]["previous_action"]), "the last day ends with the trial"
    if mode is AutoresetMode.SAME_STEP:
        assert info["final_info"]["memory_reset"].all()
        assert all(
            not final[f"{'previous' if name == 'PreviousStep' else 'context'}_action"].any() for final in info["final_obs"]
        )


def test_a_seat_tells_where_its_memory_is_reset():
    """At each reset and each dawn; that an episode begins within a trial is none. Without days nothing is told."""
    for horizon, expected in ((4, [1, 0, 1, 0, 1, 0, 1, 0, 1]), (3, [1, 0, 1, 0, 0, 1, 0])):
        env = gym.make("metarl_envs:MetaRL/AmnesiaBox-v0", episodes_per_trial=2, **SEAT | {"horizon": horizon})
        told = [env.reset(seed=0)[1]["memory_reset"]]
        told += [env.step(0)[-1]["memory_reset"] for _ in range(2 * horizon)]
        assert told == [flag == 1 for flag in expected]
    assert AmnesiaSeat.with_params(**SEAT | {"day": 0}).memory_reset_at is None


def test_an_agent_of_an_evaluation_is_told_nothing_of_the_day_before():
    """No action and no reward of the last evening; that an episode begins is no reason to forget."""
    steps = []

    class Agent:
        def __init__(self, *, num_envs, **told):
            self.rows = num_envs

        def act(self, step):
            steps.append(step)
            return np.ones(self.rows, np.int64)

    tasks = metarl_envs.tasks("AmnesiaBox", **SEAT)
    lifetimes.live(Agent, tasks.variant, tasks.rows(2), np.arange(2), episodes=2)
    days = [step.memory_reset.tolist() for step in steps]
    assert days[:4] == [[True, True], [False, False], [True, True], [False, False]]
    for step in steps:
        assert ((step.previous_action == -1) == step.memory_reset).all()
        assert not step.previous_reward[step.memory_reset].any()
    assert not steps[2].trial_start.any()
    assert steps[4].episode_start.all()
    assert len(steps) == 8
