"""Players that are fed look on at lives that are over, and live on from there; who is caught by that, and who is spared."""

import functools

import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine.player import references_of
from metarl_envs.evaluation import controls, verdicts
from metarl_envs.evaluation.feeding import Feeding
from metarl_envs.learners import UCB1, QLearning, Random
from metarl_envs.players import Fed, Seat, Wrapped, past_of
from metarl_envs.players.feeding import why_not_fed
from metarl_envs.players.lifetimes import live
from metarl_wrappers import VectorPermuteActions, VectorPreviousStep

pytestmark = pytest.mark.plain

DOOR = ("DarkKeyToDoor", {"size": 3, "horizon": 8, "ends": True}, 6)
ROOM = ("DarkRoom", {"size": 3, "horizon": 6}, 6)
STAY, UP, RIGHT, DOWN, LEFT = range(5)


def lived(player, where, count=4):
    """Lives of a player, the family, its tasks and the seeds."""
    id, params, episodes = where
    tasks = metarl_envs.tasks(id, **params)
    rows, seeds = tasks.rows(count), np.arange(count, dtype=np.uint64) + 3
    return live(player, tasks.variant, rows, seeds, episodes=episodes)[0], (tasks.variant, rows, seeds)


class Noting:
    """Does what is never done in stored lives if it can, and keeps all that it is told."""

    told = []

    def __init__(self, num_envs, action_space, **_):
        self.count, self.actions = num_envs, action_space.n

    def act(self, step):
        Noting.told.append(step)
        return np.full(self.count, self.actions - 1)


def test_what_is_told_is_what_was_lived_and_then_the_own_life_begins_as_its_next_episode():
    run, where = lived(QLearning(), DOOR)
    others = np.roll(np.arange(len(run)), 1)
    past = past_of(run, 4, shown=others)
    assert len(set(past.steps.tolist())) > 1, "lives of different lengths"
    Noting.told = told = []
    own, _ = live(Fed(Noting, run, past), *where, episodes=2)
    written, columns = run.columns(), run.columns().columns
    for i, other in enumerate(others.tolist()):
        length = int(past.steps[i])
        assert length == written.until[other, 3]
        for n in range(length + 1):
            step = told[n]
            assert step.trial_start[i] == step.memory_reset[i] == (n == 0)
            if n < length:
                assert np.array_equal(step.observation[i], columns["observation"][other, n])
            if n:
                before = {"action": step.previous_action, "reward": step.previous_reward}
                before |= {"terminated": step.terminated, "truncated": step.truncated}
                assert all(values[i] == columns[name][other, n - 1] for name, values in before.items())
                assert step.episode_start[i] == (n in written.until[other])
        assert np.array_equal(told[length].observation[i], own.columns().columns["observation"][i, 0]), "its own first one"
        assert (own.actions[i, : own.steps[i]] == 4).all(), "what is recorded is its own life, from its beginning on"
        assert own.steps[i] == 16


def test_observations_that_are_numbers_are_told_too():
    run, where = lived(QLearning(), ("TabularMDP", {"states": 3, "horizon": 4}, 6))
    Noting.told = told = []
    live(Fed(Noting, run, past_of(run, 4)), *where, episodes=1)
    seen = run.columns().columns["observation"].reshape(4, -1)
    assert all(np.array_equal(told[n].observation, seen[:, n]) for n in range(16))
    live(Fed(QLearning(), run, past_of(run, 4)), *where, episodes=1)


def test_who_is_fed_its_own_life_goes_on_as_it_did():
    run, where = lived(QLearning(), ROOM)
    own, _ = live(Fed(QLearning(), run, past_of(run, 4)), *where, episodes=2)
    assert np.array_equal(own.actions, run.actions[:, 24:])
    assert np.array_equal(own.returns, run.scores()[:, 4:].sum(axis=1))
    with pytest.raises(ValueError, match="fed has no stored life for who lives by the seed 9"):
        live(Fed(QLearning(), run, past_of(run, 4)), *where[:2], np.arange(4) + 9, episodes=2)
    with pytest.raises(ValueError, match=r"episodes=7: a life of .* has 6 only"):
        past_of(run, 7)


def test_what_wrappers_show_of_a_stored_life_is_what_they_showed_then():
    see = functools.partial(VectorPreviousStep, flat=True)
    run, where = lived(Wrapped(Noting, see), DOOR)
    Noting.told = first = []
    live(Wrapped(Noting, see), *where, episodes=6)
    Noting.told = again = []
    live(Fed(Wrapped(Noting, see), run, past_of(run, 4)), *where, episodes=1)
    assert all(np.array_equal(a.observation, b.observation) for a, b in zip(first[:32], again[:32], strict=True))


def test_episodes_are_told_in_another_order():
    run, _ = lived(QLearning(), DOOR)
    order = np.array([[2, 0, 1]] * 4)
    past, straight = past_of(run, 3, order=order), past_of(run, 3)
    ends = run.columns().until
    for i in range(4):
        length = int(ends[i, 2] - ends[i, 1])
        assert past.steps[i] == straight.steps[i]
        assert np.array_equal(past.actions[i, :length], run.actions[i, ends[i, 1] : ends[i, 2]])
        assert np.array_equal(past.finals[i, length - 1], run.columns().final_observations[i, 2])


def test_who_cannot_be_fed():
    room = metarl_envs.tasks("DarkRoom").variant
    assert why_not_fed(QLearning(), room) == ""
    assert why_not_fed(Wrapped(Noting, functools.partial(VectorPreviousStep, flat=True)), room) == ""
    assert (
        why_not_fed(Wrapped(Noting, VectorPermuteActions), room)
        == "it sees through wrappers that make other actions of its own"
    )
    assert "cannot look on" in why_not_fed(Seat(Noting), room)
    assert "UCB1" in why_not_fed(UCB1(), room)


# ------------------------------------------------------------------------------------------------------ caught and spared
class Goes:
    """Wanders, and goes back to where it was paid: in any episode of its life, or `LATEST` in the last one alone."""

    latest = False

    def __init__(self, *, num_envs, seed, **_):
        self.random = np.random.default_rng(seed)
        self.goal, self.now = np.full((2, num_envs, 2), -1)

    def act(self, step):
        paid = (step.previous_reward > 0) & ~step.episode_start & ~step.trial_start
        self.now[paid] = step.observation[paid]
        self.goal[step.episode_start] = np.where((self.now[:, :1] >= 0) | self.latest, self.now, self.goal)[step.episode_start]
        self.now[step.episode_start] = -1
        self.goal[paid & (self.goal[:, 0] < 0)] = step.observation[paid & (self.goal[:, 0] < 0)]
        (x, y), wander = (self.goal - step.observation).T, self.random.integers(5, size=len(paid))
        along, across = np.where(x > 0, RIGHT, LEFT), np.where(y > 0, DOWN, np.where(y < 0, UP, STAY))
        return np.where(self.goal[:, 0] < 0, wander, np.where(x != 0, along, across))


class GoesByTheLatest(Goes):
    latest = True


def rows_of(player, id, episodes, **how):
    """What a verdict says of a player that is fed, by name; and A of the intact one."""
    variant = metarl_envs.tasks(id, **how).variant
    player = references_of(variant)[player] if isinstance(player, str) else player

    def score(forms, episodes, **other):
        agents = {name: form(player) for name, form in forms.items()}
        return metarl_envs.evaluate(id, agents, seeds=2, tasks=6, split="all", episodes=episodes, **how, **other)

    first = score({"agent": lambda model: model}, episodes)
    fed = Feeding.of(first, [player], episodes, score)
    findings = verdicts._Findings(variant, first, first, {}, None, fed, [], {})
    return {row.name: row for row in findings._fed_rows()}, findings.intact.mean()


def test_another_tasks_life_catches_who_learns_where_and_spares_who_reads_it_off():
    caught, _ = rows_of(Goes, "DarkRoom", 10, size=3, horizon=8)
    assert caught[controls.FED_OTHER].drop.mean > 0.4
    assert abs(caught[controls.FED_OWN].drop.mean) < 0.2
    spared, _ = rows_of("recall", "TMaze", 10, length=3)
    assert spared[controls.FED_OTHER].drop.mean == 0
    assert spared[controls.FED_OWN].adaptation.mean == 1


def test_another_order_catches_who_goes_by_the_latest_episode_and_spares_who_goes_by_all():
    (caught, _), (spared, _) = (rows_of(player, "DarkRoom", 14, size=3, horizon=8) for player in (GoesByTheLatest, Goes))
    assert caught[controls.FED_IN_DISORDER].drop.mean > 0.1
    assert abs(spared[controls.FED_IN_DISORDER].drop.mean) < 0.02


def test_who_does_not_go_on_as_it_did_is_said_not_to_be_fed():
    """Such as who remembers what it chose itself, whatever it is told that it did."""
    rng, variant = np.random.default_rng(0), metarl_envs.tasks("DarkRoom").variant
    first = metarl_envs.evaluate("DarkRoom", {"agent": Random()}, seeds=3, tasks=4, episodes=2, size=3, horizon=2)

    def said(own):
        levels = zip(controls.FED, (own, 0.1, 0.5), strict=True)
        scores = {name: level + 0.01 * rng.normal(size=(3, 4, 1, 1)) for name, level in levels}
        fed = Feeding(scores, 0.8 + 0.01 * rng.normal(size=(3, 4, 1, 1)))
        found = verdicts._Findings(variant, first, first, {}, None, fed, [], {})._fed_rows()
        return [row.why_not for row in found]

    assert said(0.7) == ["", "", ""]
    never = "it cannot be fed: having looked on at its own life, it does not go on as it did"
    assert said(0.5) == ["", never, never]


def test_one_long_episode_is_told_as_a_whole_and_has_no_order():
    rows, _ = rows_of("bayes", "LinearRegression", 1, dimensions=2, horizon=5)
    assert rows[controls.FED_IN_DISORDER].why_not == "one episode has no order"
    assert rows[controls.FED_OWN].adaptation.mean == pytest.approx(1), "after five examples of two weights it knows them"
    assert rows[controls.FED_OTHER].drop.mean > 0.5, "after those of others it knows others"
