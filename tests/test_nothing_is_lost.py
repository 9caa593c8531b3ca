"""What players do wrong, and what ends a run before its time: nothing that was played is lost, and no action is changed."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import metarl_envs
from metarl_envs import boxes
from metarl_envs.boxes.players.table import Boxes
from metarl_envs.engine.worlds.worlds import Worlds
from metarl_envs.evaluation import diagnostics
from metarl_envs.players import PlayerError, Seat, Wrapped, load
from metarl_envs.players.actions import action_in, actions_in
from metarl_envs.players.factories import Batches, Made
from metarl_envs.players.lifetimes import live
from metarl_envs.players.told import Step, null_actions
from tests.test_players import BOX, ROOM, Turning, TurningAlone, TurningBatch, Waits, lived, room

pytestmark = pytest.mark.plain


# ------------------------------------------------------------------------------------------------- actions
class Chooses(TurningBatch):
    """A batch that returns what it is told to at its sixth step."""

    last = None

    def act(self, step):
        return super().act(step) if self.n[0] < 5 else type(self).last(step)


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (lambda step: np.array([0, 1, 99, 0]), "the player of row 2 chose 99: actions are integers from 0 to 4"),
        (lambda step: np.array([0, -1, 0, 0]), "the player of row 1 chose -1"),
        (lambda step: np.zeros((4, 2), int), r"of shape \(4, 2\) and dtype int64: there must be actions of shape \(4,\)"),
        (lambda step: np.zeros(4), "dtype float64"),
        (lambda step: ["a"] * 4, r"list of shape \(4,\) and dtype <U1: there must be"),
        (lambda step: None, "returned NoneType"),
        (lambda step: np.full(4, 2**64 - 1, np.uint64), "18446744073709551615"),
    ],
)
def test_an_action_of_a_batch_that_is_none_is_the_players_fault(monkeypatch, last, why):
    monkeypatch.setattr(Chooses, "last", staticmethod(last))
    with pytest.raises(PlayerError, match=f"the players of seat 0 failed at step 5 .*{why}") as caught:
        lived(Chooses)
    whole, _ = lived(Turning())
    assert np.array_equal(caught.value.run.actions, whole.actions[:, :5])
    assert caught.value.run.columns().columns["reward"].shape == (4, 5)


def test_actions_of_rows_that_are_over_do_not_matter():
    class Ends(TurningBatch):
        def act(self, step):
            self.over = step.trial_start & (self.n > 0) | getattr(self, "over", False)
            return np.where(self.over, 99, super().act(step))

    run, _ = lived(Ends, once=True)
    assert np.array_equal(run.actions, lived(TurningBatch, once=True)[0].actions)


@pytest.mark.parametrize("kind", ["batch", "seat"])
def test_an_action_that_is_none_is_refused_in_a_box_alike(kind):
    class Bad(Waits):
        def act(self, told):
            return np.full(self.rows, 99) if kind == "batch" else 99

    with pytest.raises(PlayerError, match=r"failed at step 0 .*chose 99: actions are integers from 0 to ") as caught:
        boxes.run("AmnesiaBox", {0: "greedy", "others": Bad if kind == "batch" else Seat(Bad)}, boxes=2, **BOX)
    assert caught.value.run.actions.shape == (2, 0, 3)


@pytest.mark.parametrize(
    ("space", "given", "taken"),
    [
        (spaces.Discrete(3), np.array([2]), 2),
        (spaces.Discrete(3), True, 1),
        (spaces.Discrete(3), np.uint8(1), 1),
        (spaces.Discrete(3), 3, None),
        (spaces.Discrete(3), 1.0, None),
        (spaces.Discrete(3), 2**70, None),
        (spaces.Discrete(3), "1", None),
        (spaces.Discrete(3, start=5), 5, 5),
        (spaces.Discrete(3, start=5), 4, None),
        (spaces.MultiDiscrete([2, 3]), [1, 2], [1, 2]),
        (spaces.MultiDiscrete([2, 3]), [2, 1], None),
        (spaces.Box(-1, 1, (2,)), [0.5, -1.0], [0.5, -1.0]),
        (spaces.Box(-1, 1, (2,)), [1, 0], [1.0, 0.0]),
        (spaces.Box(-1, 1, (2,)), [1.5, 0.0], None),
        (spaces.Box(-1, 1, (2,)), [np.nan, 0.0], None),
        (spaces.Box(-1, 1, (2,)), [1e300, 0.0], None),
        (spaces.Box(-1, 1, (2,)), [0.0], None),
        (spaces.Box(0, 9, (1,), np.int8), [256], None),
        (spaces.Box(0, 9, (1,), np.int8), [9], [9]),
        (spaces.MultiBinary(2), [1, 0], [1, 0]),
        (spaces.MultiBinary(2), [2, 0], None),
    ],
)
def test_an_action_is_one_of_the_space_or_refused(space, given, taken):
    """One by one and many at once by the same rule."""
    many = np.asarray([given, given]) if np.size(given) == np.prod(space.shape or 1) and np.ndim(given) < 2 else [given] * 2
    many = np.ravel(many) if isinstance(space, spaces.Discrete) else many
    if taken is None:
        with pytest.raises(ValueError, match="the player chose"):
            action_in(space, given)
        with pytest.raises(ValueError, match=r"chose|returned"):
            actions_in(space, many, np.ones(2, np.bool_))
        return
    one, both = action_in(space, given), actions_in(space, many, np.ones(2, np.bool_))
    assert one.dtype == both.dtype == space.dtype
    assert one.tolist() == both[0].tolist() == both[1].tolist() == taken


def test_batches_of_several_dtypes_are_not_cut_short():
    """One chose integers, and who was made anew beside it floats, which were rounded."""
    given = iter([np.zeros((2, 2), int), np.zeros((2, 2), int), np.full((1, 2), 0.75, np.float64)])

    class Chooser:
        def act(self, step):
            return next(given)

    none = np.zeros(2, np.bool_)
    step = Step(np.zeros((2, 1)), np.zeros((2, 2)), np.zeros(2), none, none, none, none, none)
    told = spaces.Box(0, 1, (1,)), spaces.Box(-1, 1, (2,))
    batches = Batches(lambda **_: Chooser(), lambda: told, 2, lambda t: 0, 0, Made())
    batches.act(step, ~none, 0, ~none)
    acted = batches.act(step, np.array([False, True]), 1, ~none)
    assert acted.tolist() == [[0, 0], [0.75, 0.75]]
    assert acted.dtype == np.float32


# ------------------------------------------------------------------------------------------------- what players are told
def test_a_moment_has_the_words_of_its_own_time():
    said, moments = [], []

    class Keeps(Waits):
        def act(self, moment):
            said.append(moment.words)
            moments.append(moment)
            return int(np.flatnonzero(moment.observation["action_mask"])[len(said) % 2])

    boxes.run("AmnesiaBox", {"all": Seat(Keeps)}, boxes=2, seed=4, **BOX)
    assert len(set(said)) > 20
    assert [moment.words for moment in moments] == said

    class Looks(TurningBatch):
        def act(self, step):
            steps.append((step, step.words_of(1)))
            return np.full(len(self.n), 8)

    steps = []
    boxes.run("AmnesiaBox", {0: "greedy", "others": Looks}, boxes=1, seed=4, **BOX)
    for step, words in steps:
        assert step.moment(1).words == words().text, "a step that was kept tells its own time too"


def test_what_a_player_does_to_what_it_is_told_reaches_nobody():
    told = []

    class Scribbles(TurningBatch):
        def act(self, step):
            told.append(step.previous_action[step.memory_reset].tolist())
            action = super().act(step)
            for array in vars(step).values():
                if isinstance(array, np.ndarray):
                    array[...] = 0
            return action

    run, _ = lived(Scribbles, once=True)
    assert np.array_equal(run.actions, lived(TurningBatch, once=True)[0].actions)
    null = null_actions(spaces.Discrete(5), 1)[0]
    assert {one for some in told for one in some} == {null}


# ------------------------------------------------------------------------------------------------- what ends a run
class VectorBreaks(gym.vector.VectorWrapper):
    """A wrapper that fails at its fourth step."""

    steps = 0

    def step(self, actions):
        self.steps += 1
        if self.steps == 4:
            raise RuntimeError("out of paper")
        return super().step(actions)


def test_a_wrapper_that_fails_leaves_what_was_played():
    with pytest.raises(PlayerError, match=r"TurningBatch through VectorBreaks failed at step 3 .*out of paper") as caught:
        lived(Wrapped(TurningBatch, VectorBreaks))
    assert np.array_equal(caught.value.run.actions, lived(Turning())[0].actions[:, :3])
    assert isinstance(caught.value.__cause__, RuntimeError)


def failing(player, at, error):
    """A player like another whose n-th call in all raises an error."""
    calls = [0]

    class Fails(player):
        def act(self, told):
            calls[0] += 1
            if calls[0] == at:
                raise error
            return super().act(told)

    return Fails


def test_an_evaluation_that_fails_keeps_all_that_was_lived(tmp_path):
    """The third of four calls of the factory fails in its seventh step: two slices of three lives are whole by then."""
    mine = failing(TurningBatch, 2 * 12 + 7, RuntimeError("the line is dead"))
    with pytest.raises(PlayerError, match=r"the line is dead") as caught:
        metarl_envs.evaluate(
            "DarkRoom", {"a": Turning(), "mine": mine, "z": "oracle"}, tasks=3, episodes=2, seeds=4, split=None, **ROOM
        )
    error = caught.value
    assert error.run.steps.tolist() == [12] * 6 + [6] * 3
    assert list(error.runs) == ["a"]
    assert np.array_equal(error.runs["a"][:6].actions, error.run[:6].actions), "on the same tasks, from the same seeds"
    assert np.array_equal(error.runs["a"].seeds[:9], error.run.seeds)
    assert np.array_equal(error.run[:6].scores().sum(axis=1), error.run.returns[:6])
    assert len(error.run.columns().columns["reward"]) == 9
    error.run.save(tmp_path / "run")
    assert load(tmp_path / "run").fingerprint == error.run.fingerprint


def test_a_row_of_a_failed_evaluation_is_one_of_its_run():
    mine = failing(TurningAlone, 3 * 12 + 2, RuntimeError("the line is dead"))
    with pytest.raises(PlayerError) as caught:
        metarl_envs.evaluate("DarkRoom", Seat(mine), tasks=3, episodes=2, seeds=2, split=None, **ROOM)
    assert caught.value.row == 3 + 1
    assert len(caught.value.run) == 6


def test_diagnostics_keep_the_runs_of_others():
    class Pulls(TurningBatch):
        def act(self, step):
            return np.zeros(len(self.n), int)

    with pytest.raises(PlayerError) as caught:
        diagnostics.compare({"a": Pulls, "b": failing(Pulls, 3, OSError("gone"))}, "GapBandit", lives=3, arms=3, horizon=5)
    assert caught.value.runs["a"].actions.shape == (3, 5)
    assert caught.value.run.actions.shape == (3, 2)
    unlived = failing(Pulls, 1, AssertionError("nobody should live"))
    with pytest.raises(ValueError, match="since=5 must be below 5"):
        diagnostics.compare(unlived, "GapBandit", lives=3, arms=3, horizon=5, since=5)


@pytest.mark.parametrize("form", ["batch", "seat"])
def test_an_interrupt_keeps_what_was_played(form, tmp_path):
    mine = failing(TurningBatch, 4, KeyboardInterrupt()) if form == "batch" else failing(TurningAlone, 14, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as caught:
        lived(mine if form == "batch" else Seat(mine))
    assert np.array_equal(caught.value.run.actions, lived(Turning())[0].actions[:, :3])
    waits = failing(Waits, 4 if form == "batch" else 20, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as caught:
        boxes.run("AmnesiaBox", {"all": waits if form == "batch" else Seat(waits)}, boxes=2, out=tmp_path, **BOX)
    assert caught.value.run.actions.shape == (2, 3, 3)
    assert boxes.load(tmp_path / "run").actions.tolist() == caught.value.run.actions.tolist()
    assert len(list(caught.value.run.replay())) == 4


def test_an_interrupt_within_a_step_leaves_a_run_that_can_be_lived_again(monkeypatch):
    """The worlds have moved then, and the run is not yet told of it."""
    advance = Worlds.advance

    def interrupted(worlds, actions, out):
        ended = advance(worlds, actions, out)
        if worlds.worlds["t"].max() == 3:
            monkeypatch.setattr(Worlds, "advance", advance)
            raise KeyboardInterrupt
        return ended

    monkeypatch.setattr(Worlds, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        boxes.run("AmnesiaBox", {"all": "greedy"}, boxes=2, **BOX)
    assert caught.value.run.actions.shape == (2, 2, 3)
    assert sum(states["reward"].sum() for states in caught.value.run.replay()) == caught.value.run.returns.sum()
    variant, rows = room()

    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        live(TurningBatch, variant, rows, np.arange(4) + 7, episodes=3, progress=stop)
    run = caught.value.run
    assert np.array_equal(run.actions, lived(Turning())[0].actions[:, :1])
    assert np.array_equal(run.columns().columns["reward"][:, 0], run.returns)


def test_an_error_of_the_family_itself_is_no_players_fault(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Boxes, "advance", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        boxes.run("AmnesiaBox", {"all": "greedy"}, boxes=2, **BOX)
    assert caught.value.run.actions.shape == (2, 0, 3)
