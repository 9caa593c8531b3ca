"""Who finds out which part of a mixture it is in: against enumeration by hand, and against who is told."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal, norm

import metarl_envs
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.player import references_of
from metarl_envs.evaluation.likeness import probabilities_of
from metarl_envs.histories import lifetime_returns
from metarl_envs.ids import family_of
from metarl_envs.learners import Random
from metarl_envs.players.lifetimes import live

pytestmark = pytest.mark.plain

TINY = {
    "parts": "DarkRoom(size=2, start='corner'), DarkKeyToDoor(size=2), BernoulliBandit(arms=2), TwoStep, GapBandit(arms=3)",
    "horizon": 4,
    "held_out": "none",
}


# ------------------------------------------------------------------------------------------------- by hand
class Room:
    """Two by two cells; the goal pays at every step. An episode is (own actions, sights, rewards)."""

    numbers = 2
    actions, tasks, starts = 5, list(itertools.product((0, 1), repeat=2)), [(0, 0)]

    def rewards_along(self, task, places):
        return [float(place == task) for place in places]

    def chance(self, episodes):
        """How likely these episodes are, over all tasks and starts alike."""
        total = 0.0
        for task in self.tasks:
            chance = 1 / len(self.tasks)
            for actions, sights, rewards in episodes:
                chance *= sum(self.follows(task, start, actions, sights, rewards) for start in self.starts) / len(self.starts)
            total += chance
        return total

    def follows(self, task, start, actions, sights, rewards):
        places, place = [], start
        for action in actions:
            dx, dy = [(0, 0), (0, -1), (1, 0), (0, 1), (-1, 0)][action]
            place = min(max(place[0] + dx, 0), 1), min(max(place[1] + dy, 0), 1)
            places.append(place)
        return [start, *places] == sights and self.rewards_along(task, places) == rewards


class KeyAndDoor(Room):
    """A key pays once, and in a later step a door; episodes start on any cell."""

    tasks = list(itertools.product(Room.tasks, Room.tasks))
    starts = Room.tasks

    def rewards_along(self, task, places):
        key, door = task
        paid, stage = [], 0
        for place in places:
            wanted = (key, door)[stage] if stage < 2 else None
            paid.append(float(place == wanted))
            stage += place == wanted
        return paid


def counts_up(sights, horizon=4):
    """Whether sights are those of a bandit: the share of pulls made."""
    return sights == [(t / horizon, 0) for t in range(len(sights))]


class Arms:
    """Two arms with chances between 0 and 1: a Beta integral for each."""

    numbers = 1
    actions = 2

    def chance(self, episodes):
        if not all(counts_up(sights) and set(rewards) <= {0, 1} for _, sights, rewards in episodes):
            return 0.0
        pulls = [(a, r) for actions, _, rewards in episodes for a, r in zip(actions, rewards, strict=True)]
        won, lost = ([sum((a, r) == (arm, paid) for a, r in pulls) for arm in (0, 1)] for paid in (1, 0))
        return math.prod(
            math.factorial(w) * math.factorial(n) / math.factorial(w + n + 1) for w, n in zip(won, lost, strict=True)
        )


class OneGood:
    """Three arms, of which one pays with chance 0.6 and the others with 0.4."""

    numbers = 1
    actions = 3

    def chance(self, episodes):
        if not all(counts_up(sights) and set(rewards) <= {0, 1} for _, sights, rewards in episodes):
            return 0.0
        pulls = [(a, r) for actions, _, rewards in episodes for a, r in zip(actions, rewards, strict=True)]
        return sum(math.prod(0.6 if (a == good) == (r == 1) else 0.4 for a, r in pulls) for good in range(3)) / 3


class TwoSteps:
    """Two rounds, each of a choice and a lottery; which of two places is good swaps with chance 0.025 before each."""

    numbers = 1
    actions = 2

    def chance(self, episodes):
        total = 0.0
        for course in itertools.product((0, 1), repeat=2):
            chance = 0.5
            chance *= 0.975 if course[0] == course[1] else 0.025
            for actions, sights, rewards in episodes:
                chance *= self.of_episode(course, actions, sights, rewards)
            total += chance
        return total

    def of_episode(self, course, actions, sights, rewards):
        places = [round(2 * x) if y == 0 and (2 * x).is_integer() else -1 for x, y in sights]
        chance = float(places[0] == 0)
        for t, (action, reward) in enumerate(zip(actions, rewards, strict=True)):
            now, then = places[t : t + 2]
            if t % 2 == 0:
                chance *= (then > 0 and reward == 0) * (0.8 if then == 1 + action else 0.2)
            else:
                paid = 0.9 if now - 1 == course[t // 2] else 0.1
                chance *= (then == 0) * {1: paid, 0: 1 - paid}.get(reward, 0.0)
        return chance


BY_HAND = [Room(), KeyAndDoor(), Arms(), TwoSteps(), OneGood()]


def told_so_far(written, life, step):
    """Each episode before a step, as (actions, sights, rewards)."""
    episodes, columns = [([], [], [])], {name: column[life] for name, column in written.columns.items()}
    over = 0
    for t in range(step + 1):
        actions, sights, rewards = episodes[-1]
        sights.append(tuple(columns["observation"][t].tolist()))
        if t == step:
            break
        actions.append(int(columns["action"][t]))
        rewards.append(float(columns["reward"][t]))
        if columns["terminated"][t] or columns["truncated"][t]:
            sights.append(tuple(written.final_observations[life, over].tolist()))
            episodes.append(([], [], []))
            over += 1
    return episodes


def enumerated(episodes, disguise, surplus):
    """The probability of each part, summed over every order of the five actions, and every way to show its numbers."""
    chances = []
    for part in BY_HAND:
        usual = [a % part.actions if surplus == "mod" else (a if a < part.actions else -1) for a in range(5)]
        orders = set(itertools.permutations(usual)) if disguise in ("actions", "both") else {tuple(usual)}
        ways = ways_to_show(part.numbers) if disguise in ("observations", "both") else [((0, 1)[: part.numbers], (1, 1))]
        total = 0.0
        for places, signs in ways:
            told = [
                (actions, [as_it_was(sight, places, signs) for sight in sights], rewards)
                for actions, sights, rewards in episodes
            ]
            if any(None in sights for _, sights, _ in told):
                continue
            for does in orders:
                own = [without_idle([does[a] for a in actions], sights, rewards) for actions, sights, rewards in told]
                total += 0.0 if None in own else part.chance(own)
        chances.append(total / len(orders) / len(ways))
    return np.array(chances) / sum(chances)


def ways_to_show(numbers):
    """At which of two places, and with which signs, so many numbers may be shown."""
    places = itertools.permutations((0, 1), numbers)
    return list(itertools.product(places, itertools.product((1, -1), repeat=numbers)))


def as_it_was(sight, places, signs):
    """What is seen in a part, where this is shown; None where it cannot be: a place without a number shows another than 0."""
    if any(sight[place] != 0 for place in {0, 1} - {*places}):
        return None
    plain = [sign * sight[place] + 0.0 for place, sign in zip(places, signs, strict=False)]
    return tuple([*plain, 0.0][:2])


def without_idle(actions, sights, rewards):
    """An episode without the steps in which nothing was done; None where something came of one."""
    kept = [], [sights[0]], []
    for t, action in enumerate(actions):
        if action < 0:
            if rewards[t] != 0 or sights[t + 1] != sights[t]:
                return None
            continue
        kept[0].append(action)
        kept[1].append(sights[t + 1])
        kept[2].append(rewards[t])
    return kept


@pytest.mark.parametrize(
    ("disguise", "surplus"),
    [
        *itertools.product(("none", "actions"), ("mod", "noop")),
        ("observations", "noop"),
        pytest.param("both", "noop", marks=pytest.mark.slow),
    ],
)
def test_parts_are_as_likely_as_enumeration_by_hand_says(disguise, surplus):
    variant = metarl_envs.tasks("Mixture", **TINY, disguise=disguise, surplus=surplus).variant
    rows = metarl_envs.tasks("Mixture", **TINY, disguise=disguise, surplus=surplus).sample(40, seed=1)
    chosen = np.concatenate([np.flatnonzero(rows["which"] == which)[:1] for which in range(5)])
    player = references_of(variant)["which_part_inferring"]
    run = live(player, variant, rows[chosen], chosen, episodes=2)[0]
    written = run.columns(internals=["parts"], player=player)
    unsure = 0
    for life in range(len(chosen)):
        for step in range(int(run.steps[life])):
            expected = enumerated(told_so_far(written, life, step), disguise, surplus)
            assert_allclose(written.columns["parts"][life, step], expected, rtol=1e-5, atol=1e-6)
            unsure += 0.01 < expected.max() < 0.99
    assert unsure > 10, "else nothing was compared"


# ------------------------------------------------------------------------------------------------- closed forms
def chain(family, steps, **params):
    """The sum of what `condition` says of steps (seen, action, reward, then)."""
    variant = family_at(family_of(family)).with_params(**params)
    belief = SimpleNamespace(**variant.family.statistics(variant.p))
    return sum(plain(variant.kernel("condition"))(variant.p, belief, *step) for step in steps)


def pulls(arms, rewards, horizon):
    return [([t / horizon], a, r, [(t + 1) / horizon]) for t, (a, r) in enumerate(zip(arms, rewards, strict=True))]


def test_a_gaussian_bandit_is_as_likely_as_by_quadrature():
    arms, rewards = [0, 1, 0, 0, 1], [0.3, 1.2, 0.9, -0.4, 0.8]
    found = chain("GaussianBandit", pulls(arms, rewards, 10), arms=2, horizon=10, noise=0.3)
    means = (np.arange(20000) + 0.5) / 20000
    expected = 0.0
    for arm in (0, 1):
        paid = [r for a, r in zip(arms, rewards, strict=True) if a == arm]
        expected += np.log(np.prod([norm.pdf(r, means, 0.3) for r in paid], axis=0).mean())
    assert found == pytest.approx(expected, rel=1e-6)
    fixed = chain("GaussianBandit", pulls(arms, rewards, 10), arms=2, horizon=10, noise=0.3, low=0.5, high=0.5)
    assert fixed == pytest.approx(norm.logpdf(rewards, 0.5, 0.3).sum())


def test_a_random_mdp_is_as_likely_as_all_at_once():
    states, steps = [0, 1, 1, 0, 1, 1, 0], [(0, 1.3), (1, -0.2), (1, 2.0), (0, 0.7), (1, 0.1), (1, 1.1)]
    told = [([states[t]], a, r, [states[t + 1]]) for t, (a, r) in enumerate(steps)]
    found = chain("TabularMDP", told, states=2, actions=2)
    expected = 0.0
    for pair in itertools.product((0, 1), repeat=2):
        paid = [r for t, (a, r) in enumerate(steps) if (states[t], a) == pair]
        led = [states[t + 1] for t, (a, _) in enumerate(steps) if (states[t], a) == pair]
        if paid:
            expected += multivariate_normal.logpdf(paid, np.ones(len(paid)), np.eye(len(paid)) + 1.0)
            expected += math.log(math.prod(math.factorial(led.count(s)) for s in (0, 1)) / math.factorial(len(led) + 1))
    assert found == pytest.approx(expected)


def test_what_cannot_be_has_no_chance():
    assert chain("BernoulliBandit", pulls([0], [0.5], 10), horizon=10) == -math.inf
    assert chain("BernoulliBandit", [([0.0], 0, 1.0, [0.3])], horizon=10) == -math.inf, "one pull is a tenth of them"
    assert chain("GapBandit", pulls([0, 0], [1.0, 0.0], 10), horizon=10, gap=1.0) == -math.inf
    assert chain("TwoStep", [([0], 0, 0.0, [0])]) == -math.inf, "the first choice leads on"
    assert chain("TwoStep", [([0], 0, 0.0, [2])], common=1.0) == -math.inf


# ------------------------------------------------------------------------------------------------- as good as who is told
APART = {"parts": "DarkRoom(size=3), GridNavi(size=3), TMaze(length=4, active=True)", "horizon": 8, "held_out": "none"}


@pytest.mark.parametrize("disguise", ["none", "projection"])
def test_where_the_first_sight_tells_the_part_it_plays_as_who_is_told(disguise):
    tasks = metarl_envs.tasks("Mixture", **APART, disguise=disguise)
    rows, known = tasks.sample(30, seed=2), references_of(tasks.variant)
    assert set(rows["which"]) == {0, 1, 2}
    told, inferring = (
        lifetime_returns(rows, tasks.variant, known[f"which_part_{form}"], np.arange(30), episodes=3)
        for form in ("told", "inferring")
    )
    assert_array_equal(inferring, told)


@pytest.mark.parametrize(
    "disguise",
    ["none", *(pytest.param(one, marks=pytest.mark.slow) for one in ("actions", "both")), "observations", "projection"],
)
def test_it_finds_out_the_part_and_the_disguise_and_is_never_better_than_who_is_told(disguise):
    """Where each part has a heuristic: as good in the fourth episode, and not better before."""
    tasks = metarl_envs.tasks("Mixture", **APART, disguise=disguise)
    rows, known = tasks.sample(24, seed=2), references_of(tasks.variant)
    told, inferring = (
        lifetime_returns(rows, tasks.variant, known[f"which_part_{form}"], np.arange(24), episodes=4)
        for form in ("told", "inferring")
    )
    lead = (told - inferring).mean(axis=1)
    assert lead.mean() >= -2 * lead.std() / np.sqrt(len(lead))
    assert told[:, -1].mean() - inferring[:, -1].mean() < 0.05 * told[:, -1].mean()


def test_what_part_pays_so_is_sure_at_the_first_reward():
    """A reward with a density against rewards of a few amounts."""
    tasks = metarl_envs.tasks("Mixture", parts="TabularMDP(states=2, actions=2), TwoStep", horizon=6, held_out="none")
    player, rows = references_of(tasks.variant)["which_part_inferring"], tasks.sample(8, seed=0)
    run = live(player, tasks.variant, rows, np.arange(8), episodes=1)[0]
    told = run.columns(internals=["parts"], player=player).columns["parts"]
    assert_allclose(told[:, 0], 0.5)
    assert_allclose(told[np.arange(8), 1, rows["which"]], 1.0)


def test_a_part_that_nobody_knows_is_followed_by_what_can_be_seen_there():
    """A drift of lotteries has no closed form. Whoever sees it is not in a room, and pays 1 or 0."""
    how = {"parts": "DarkRoom(size=3), TwoStep(variant='daw')", "horizon": 6, "held_out": "none", "disguise": "both"}
    tasks = metarl_envs.tasks("Mixture", **how)
    player, rows = references_of(tasks.variant)["which_part_inferring"], tasks.sample(12, seed=0)
    run = live(player, tasks.variant, rows, np.arange(12), episodes=2)[0]
    last = run.columns(internals=["parts"], player=player).columns["parts"][np.arange(12), run.steps - 1]
    assert_allclose(last[np.arange(12), rows["which"]], 1.0, atol=1e-3)


def test_where_nothing_it_knows_can_have_been_it_goes_on_at_random():
    """Told of lives with feedback that no part pays, as a control does."""
    tasks = metarl_envs.tasks("Mixture", **APART, disguise="none")
    run = live(Random(), tasks.variant, tasks.sample(4, seed=0), np.arange(4), episodes=2)[0]
    written = run.columns()
    written.columns["reward"][...] = 0.123
    chosen = probabilities_of(references_of(tasks.variant)["which_part_inferring"], run, written).argmax(axis=2)
    assert len(np.unique(chosen[:, 2:])) == 5
