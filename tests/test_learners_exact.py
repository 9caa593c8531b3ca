"""Each learner does what its formula says: against NumPy, written from the formula, on recorded streams of steps."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog

import metarl_envs
from metarl_envs.engine import Row
from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.records import for_drivers, rows
from metarl_envs.engine.streams import STREAM
from metarl_envs.engine.truth.solving import exact_returns
from metarl_envs.families.bandits.linear import LinearBandit
from metarl_envs.histories import lifetime_returns
from metarl_envs.learners import (
    PSRL,
    SARSA,
    UCB1,
    UCRL2,
    ActorCritic,
    CountBonusQ,
    DoubleQ,
    DPTBehaviour,
    EpsilonGreedy,
    GaussianThompson,
    GradientBandit,
    LinUCB,
    NeuralQ,
    NoiseAnnealed,
    QLambda,
    QLearning,
    Random,
    Reinforce,
    Thompson,
)

BERNOULLI, GAUSSIAN, LINEAR = "MetaRL/BernoulliBandit-v0", "MetaRL/GaussianBandit-v0", "MetaRL/LinearBandit-v0"
MDP, ROOM = "MetaRL/TabularMDP-v0", "MetaRL/DarkRoom-v0"
STATES, ACTIONS, HORIZON, STEPS = 4, 3, 7, 600


# ------------------------------------------------------------------------------------------------- recorded streams
class Stream:
    """What befalls a learner that is driven by hand, and its memory before the first step and after each."""

    def __init__(self, learner, variant, steps=STEPS, states=STATES, horizon=HORIZON, rewards=None, seed=0, shown=None):
        draw = np.random.default_rng(seed)
        self.learner, self.variant = learner, variant
        self.reward = draw.normal(size=steps) if rewards is None else rewards(draw, steps)
        self.terminated, self.truncated, length = np.zeros(steps, bool), np.zeros(steps, bool), 0
        for n in range(steps):
            length += 1
            self.terminated[n] = draw.random() < 0.1
            self.truncated[n] = not self.terminated[n] and length == horizon
            length *= not (self.terminated[n] or self.truncated[n])
        self.ended = self.terminated | self.truncated
        self.then = draw.integers(states, size=steps)
        following = np.where(self.ended, draw.integers(states, size=steps), self.then)
        self.seen = np.append(draw.integers(states), following[:-1])
        if shown is not None:  # observations of states, where the learner is shown these
            self.seen, self.then = for_drivers(shown[self.seen]), for_drivers(shown[self.then])
        self._live(steps)

    def _live(self, steps):
        """The learner acts, and learns from what the stream says came of it."""
        begin, act, learn = (getattr(type(self.learner), name) for name in ("begin", "act", "learn"))

        def live(hyper, memories, params, streams, seen, then, reward, terminated, truncated, actions):
            begin(hyper[0], memories[0], params[0], streams[0])
            for n in range(len(reward)):
                memories[n + 1] = memories[n]
                memory = memories[n + 1]
                actions[n] = act(hyper[0], memory, seen[n], streams[0])
                learn(hyper[0], memory, seen[n], actions[n], reward[n], terminated[n], truncated[n], then[n], streams[0])

        memories = rows(steps + 1, self.learner.memory(self.learner.p, self.variant))
        memories.view(np.ndarray)[0] = self.learner.initial_memory(self.variant)[0]
        actions, streams = np.zeros(steps, np.int64), rows(1, STREAM)
        streams["s"] = 17
        told = self.seen, self.then, self.reward, self.terminated, self.truncated
        driver = compiled(f"test.{type(self.learner).__name__}", live).live
        driver(self.learner.hyper, memories, self.variant.params, streams, *map(for_drivers, told), for_drivers(actions))
        self.action, self.memory = actions, memories.view(np.ndarray)

    def __iter__(self):
        """Every step: number, state, action, reward, terminated, truncated, next state."""
        told = self.seen, self.action, self.reward, self.terminated, self.truncated, self.then
        return ((n, *step) for n, step in enumerate(zip(*told, strict=True)))


def mdp(**params):
    return metarl_envs.tasks(MDP, **{"states": STATES, "actions": ACTIONS, "horizon": HORIZON, **params}).variant


def same(one, other):
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def epsilon_after(episodes, p):
    return p.final_epsilon + (p.epsilon - p.final_epsilon) * max(0, 1 - episodes / p.epsilon_decay_episodes)


def test_q_learning():
    learner = QLearning(step_size=0.3, discount=0.8, epsilon=0.4)
    lived, q = Stream(learner, mdp()), np.ones((STATES, ACTIONS))
    for n, s, a, r, terminated, _, s2 in lived:
        error = r + (0 if terminated else 0.8 * q[s2].max()) - q[s, a]
        q[s, a] += 0.3 * error
        same(lived.memory["q"][n + 1], q)
        same(lived.memory["td_error"][n + 1], error)
    same(lived.memory["epsilon"][1:], [epsilon_after(k, learner.p) for k in lived.ended.cumsum()])


def value_of(weights, low, high, sizes, seen):
    """The formula on the page of NeuralQ: values of all actions."""
    near = []
    for at, least, most, size in zip(seen, low, high, sizes, strict=True):
        along = np.clip((at - least) / (most - least) * (size - 1), 0, size - 1)
        near.append(np.clip(1 - np.abs(along - np.arange(size)), 0, None))
    hidden = np.tanh(weights["offset"] + weights["into"] @ np.concatenate(near))
    return weights["base"] + weights["out"] @ hidden / np.sqrt(len(hidden))


def slopes_of(weights, action, *about):
    """How the value of an action changes with each weight, by central differences."""
    found = {}
    for name, values in weights.items():
        found[name] = np.zeros_like(values)
        for place in np.ndindex(values.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = {**weights, name: values.copy()}
                moved[name][place] += step
                ends.append(value_of(moved, *about)[action])
            found[name][place] = (ends[0] - ends[1]) / 2e-5
    return found


@pytest.mark.plain
@pytest.mark.parametrize("kind", ["whole", "real"])
def test_neural_q_goes_down_the_gradient_of_its_error_from_the_newest_step_and_from_kept_ones(kind):
    """Where one step is kept it is the newest, which is replayed each time."""
    learner = NeuralQ(hidden=3, step_size=0.4, discount=0.8, initial_value=0.5, replayed=2, kept=1, places=4, epsilon=0.4)
    if kind == "whole":
        variant, shown, sizes, ends = mdp(), np.arange(STATES)[:, None], [STATES], ([0], [STATES - 1])
    else:  # between places, at one, and beyond the bounds, where it is as at the end
        variant = metarl_envs.tasks("Mixture", parts="DarkRoom(size=3)", disguise="observations").variant
        shown = np.array([[0.1, -0.7], [1 / 3, 1.0], [-0.95, 0.4], [1.2, -1.3]])
        sizes, ends = [4, 4], ([-1, -1], [1, 1])
    lived = Stream(learner, variant, steps=60, shown=shown)
    names = ("into", "offset", "out", "base")
    weights = {name: lived.memory[name][0].copy() for name in names}
    assert not weights["out"].any()
    assert (weights["base"] == 0.5).all()
    assert np.unique(weights["into"]).size == weights["into"].size
    greedy = 0
    for n, s, a, r, terminated, _, s2 in lived:
        values = value_of(weights, *ends, sizes, s)
        greedy += values[a] == pytest.approx(values.max(), abs=1e-12)
        for again in range(3):
            error = r + (0 if terminated else 0.8 * value_of(weights, *ends, sizes, s2).max())
            error -= value_of(weights, *ends, sizes, s)[a]
            if again == 0:
                same(lived.memory["td_error"][n + 1], error)
            slopes = slopes_of(weights, a, *ends, sizes, s)
            weights = {name: weights[name] + 0.4 * error * slopes[name] for name in names}
        for name in names:
            np.testing.assert_allclose(lived.memory[name][n + 1], weights[name], atol=1e-8)
            weights[name] = lived.memory[name][n + 1].copy()  # so that what differences are wrong by does not grow
    assert 60 * 0.5 < greedy < 60
    same(lived.memory["epsilon"][1:], [epsilon_after(k, learner.p) for k in lived.ended.cumsum()])


@pytest.mark.plain
def test_neural_q_keeps_the_newest_steps_and_replays_each_of_them():
    lived = Stream(NeuralQ(hidden=2, kept=7, replayed=3), mdp(), steps=40, shown=np.arange(STATES)[:, None])
    for n in (4, 6, 7, 25, 39):
        memory, these = lived.memory[n + 1], np.arange(max(0, n - 6), n + 1)
        slots = these % 7
        assert memory["lived"] == n + 1
        for name, values in (("actions", lived.action), ("rewards", lived.reward), ("ends", lived.terminated)):
            assert (memory[name][slots] == values[these]).all()
        assert (memory["before"][slots] == lived.seen[these]).all()
        assert (memory["after"][slots] == lived.then[these]).all()
    calm = Stream(NeuralQ(hidden=2, kept=7, replayed=0), mdp(), steps=40, shown=np.arange(STATES)[:, None])
    assert (calm.memory["base"][1] != lived.memory["base"][1]).any()  # who replays has learnt more of one step


@pytest.mark.plain
def test_neural_q_needs_numbers_within_bounds():
    assert "NeuralQ needs numbers between bounds, and CartPole has observations of" in str(
        NeuralQ().why_unsuitable(metarl_envs.tasks("MetaRL/CartPole-v0").variant)
    )
    assert NeuralQ().why_unsuitable(metarl_envs.tasks("Mixture", disguise="projection").variant) is None


def test_a_count_bonus_is_looked_ahead_to_and_acted_on():
    lived = Stream(CountBonusQ(bonus=0.5, step_size=0.3, discount=0.8, initial_value=0.0), mdp())
    q, count = np.zeros((STATES, ACTIONS)), np.zeros((STATES, ACTIONS))
    for n, s, a, r, terminated, _, s2 in lived:
        hopes = q + 0.5 / np.sqrt(count + 1)
        assert hopes[s, a] == pytest.approx(hopes[s].max(), abs=1e-12)
        count[s, a] += 1
        hopes = q + 0.5 / np.sqrt(count + 1)
        q[s, a] += 0.3 * (r + (0 if terminated else 0.8 * hopes[s2].max()) - q[s, a])
        same(lived.memory["q"][n + 1], q)


def test_q_lambda_hands_errors_back_until_an_action_that_was_not_the_best():
    lived = Stream(QLambda(step_size=0.3, discount=0.9, trace_decay=0.7, epsilon=0.3, final_epsilon=0.3), mdp())
    q, trace, cuts = np.ones((STATES, ACTIONS)), np.zeros((STATES, ACTIONS)), 0
    for n, s, a, r, terminated, truncated, s2 in lived:
        trace *= 0.9 * 0.7 if q[s, a] == q[s].max() else 0
        cuts += q[s, a] < q[s].max()
        trace[s, a] = 1
        q += 0.3 * (r + (0 if terminated else 0.9 * q[s2].max()) - q[s, a]) * trace
        trace *= not (terminated or truncated)
        same(lived.memory["q"][n + 1], q)
    assert 0.1 * STEPS < cuts < 0.4 * STEPS


def test_q_of_lambda_zero_is_q_learning():
    tasks = metarl_envs.tasks(ROOM)
    one, other = (
        lifetime_returns(tasks.sample(20), tasks.variant, learner, np.arange(20), episodes=30)
        for learner in (QLambda(trace_decay=0.0, discount=0.9, epsilon=0.1), QLearning())
    )
    assert (one == other).all()


def test_double_q_teaches_one_table_what_the_other_says():
    lived = Stream(DoubleQ(step_size=0.3, discount=0.9, epsilon=0.3), mdp())
    heads = 0
    for n, s, a, r, terminated, _, s2 in lived:
        before, after = lived.memory["q"][n], lived.memory["q"][n + 1]
        coin = int((before[1] != after[1]).any())
        expected = before.copy()
        following = 0 if terminated else 0.9 * before[1 - coin, s2, before[coin, s2].argmax()]
        expected[coin, s, a] += 0.3 * (r + following - before[coin, s, a])
        same(after, expected)
        same(lived.memory["mean"][n + 1], after.mean(axis=0))
        heads += coin
    assert stats.binomtest(heads, STEPS).pvalue > 1e-4


def test_sarsa_learns_the_value_of_what_it_does_next():
    lived = Stream(SARSA(step_size=0.3, discount=0.9, epsilon=0.5, final_epsilon=0.5), mdp())
    q, cut_off = np.ones((STATES, ACTIONS)), 0
    for n, s, a, r, terminated, truncated, s2 in lived:
        if truncated:  # what it would have done next is never done, but it counts
            possible = q[s, a] + 0.3 * (r + 0.9 * q[s2] - q[s, a])
            learned = lived.memory["q"][n + 1, s, a]
            assert abs(possible - learned).min() < 1e-12
            q[s, a] = learned
            cut_off += 1
        elif n + 1 < STEPS:
            q[s, a] += 0.3 * (r + (0 if terminated else 0.9 * q[s2, lived.action[n + 1]]) - q[s, a])
        same(lived.memory["q"][n + 1][: STATES if n + 1 < STEPS else 0], q[: STATES if n + 1 < STEPS else 0])
    assert cut_off > 20


def softmax(preferences):
    e = np.exp(preferences - preferences.max())
    return e / e.sum()


@pytest.mark.parametrize("trace", [0.0, 0.8])
def test_actor_critic_with_its_eligibility_traces(trace):
    lived = Stream(ActorCritic(step_size=0.4, critic_step_size=0.1, discount=0.9, trace_decay=trace, initial_value=0.5), mdp())
    v, h = np.full(STATES, 0.5), np.zeros((STATES, ACTIONS))
    critic, actor = np.zeros(STATES), np.zeros((STATES, ACTIONS))
    for n, s, a, r, terminated, truncated, s2 in lived:
        delta = r + (0 if terminated else 0.9 * v[s2]) - v[s]
        critic *= 0.9 * trace
        critic[s] += 1
        actor *= 0.9 * trace
        actor[s] += np.eye(ACTIONS)[a] - softmax(h[s])
        v += 0.1 * delta * critic
        h += 0.4 * delta * actor
        if terminated or truncated:
            critic[:], actor[:] = 0, 0
        same(lived.memory["td_error"][n + 1], delta)
        same(lived.memory["value"][n + 1], v)
        same(lived.memory["preference"][n + 1], h)


def test_reinforce_with_a_baseline():
    lived = Stream(Reinforce(step_size=0.4, baseline_step_size=0.2, discount=0.9), mdp())
    v, h, episode = np.zeros(STATES), np.zeros((STATES, ACTIONS)), []
    for n, s, a, r, terminated, truncated, _ in lived:
        episode.append((s, a, r))
        if terminated or truncated:
            paid = np.array([r for *_, r in episode])
            for t in reversed(range(len(episode))):
                s, a, _ = episode[t]
                above = paid[t:] @ 0.9 ** np.arange(len(paid) - t) - v[s]
                v[s] += 0.2 * above
                h[s] += 0.4 * above * (np.eye(ACTIONS)[a] - softmax(h[s]))
            episode = []
        same(lived.memory["value"][n + 1], v)
        same(lived.memory["preference"][n + 1], h)


# ------------------------------------------------------------------------------------------------- bandits
def bandit(id, **params):
    return metarl_envs.tasks(id, **params).variant


@pytest.mark.parametrize("baseline", [True, False])
def test_a_gradient_bandit_averages_what_was_paid_before(baseline):
    lived = Stream(GradientBandit(step_size=0.3, baseline=baseline), bandit(GAUSSIAN), states=1)
    h = np.zeros(5)
    for n, _, a, r, *_ in lived:
        mean = (lived.reward[:n].mean() if n else r) if baseline else 0
        h += 0.3 * (r - mean) * (np.eye(5)[a] - softmax(h))
        same(lived.memory["preference"][n + 1], h)


def test_a_gradient_bandit_follows_the_gradient_of_its_expected_reward():
    """Its update for each arm, weighed by the arm's chance, against differences of the expected reward."""
    variant, means = bandit(GAUSSIAN), np.array([0.1, 0.9, 0.4, 0.6, 0.3])
    learner = GradientBandit(step_size=0.25)
    learn, act = GradientBandit.learn, GradientBandit.act

    def pull_each(hyper, memories, streams, means):
        for arm in range(len(means)):
            act(hyper[0], memories[arm], 0, streams[0])
            learn(hyper[0], memories[arm], 0, arm, means[arm], False, False, 0, streams[0])

    h = np.array([0.3, -0.2, 0.5, 0.0, -1.0])
    memories = rows(5, learner.memory(learner.p, variant))
    memories["preference"], memories["mean"], memories["pulls"] = h, 0.45, 7
    driver = compiled("test.gradient", pull_each).pull_each
    driver(learner.hyper, memories, rows(1, STREAM), for_drivers(means))
    expected = softmax(h) @ (memories.view(np.ndarray)["preference"] - h)
    around = [h + d * np.eye(5)[a] for a in range(5) for d in (1e-6, -1e-6)]
    ahead = np.array([softmax(x) @ means for x in around]).reshape(5, 2)
    np.testing.assert_allclose(expected, 0.25 * (ahead[:, 0] - ahead[:, 1]) / 2e-6, rtol=1e-7)


@pytest.mark.slow
def test_gradient_bandits_on_the_testbed_of_sutton_and_barto():
    """Their figure 2.5: means N(4, 1), noise 1; after 1,000 pulls a baseline helps, and small steps are ahead of large ones."""
    tasks = metarl_envs.tasks(GAUSSIAN, arms=10, horizon=1000, noise=1.0)
    sample = tasks.sample(2000, seed=1)
    sample["mean"] = np.random.default_rng(0).normal(4, 1, (2000, 10))
    last = []
    for baseline, step_size in ((True, 0.1), (True, 0.4), (False, 0.1), (False, 0.4)):
        learner = GradientBandit(step_size=step_size, baseline=baseline)
        last.append(
            lifetime_returns(sample, tasks.variant, learner, np.arange(2000), episodes=1, block=100)[:, -1].mean() / 100
        )
    assert 4 + 1.54 > last[0] > last[1] + 0.02 > last[2] + 0.1 > last[3] + 0.2


def test_an_epsilon_greedy_bandit_pulls_each_arm_once_and_then_the_best_but_for_epsilon():
    lived = Stream(EpsilonGreedy(epsilon=0.0), bandit(GAUSSIAN), states=1)
    assert set(lived.action[:5]) == set(range(5))
    for n in range(5, STEPS):
        means = [lived.reward[:n][lived.action[:n] == a].mean() for a in range(5)]
        assert lived.action[n] == np.argmax(means)
    lived = Stream(EpsilonGreedy(epsilon=0.25), bandit(GAUSSIAN), states=1, steps=4000)
    best = lived.memory["mean"][:-1].argmax(axis=1)
    others = int((lived.action != best)[50:].sum())
    assert stats.binomtest(others, 3950, 0.25 * 4 / 5).pvalue > 1e-4


@pytest.mark.parametrize(("bonus", "squared"), [("log", lambda t: 2 * np.log(t)), ("constant", lambda t: 1)])
def test_ucb1_pulls_each_arm_once_and_then_that_of_the_highest_bound(bonus, squared):
    lived = Stream(UCB1(exploration=0.7, bonus=bonus), bandit(GAUSSIAN), states=1)
    assert set(lived.action[:5]) == set(range(5))
    for n in range(5, STEPS):
        done = [lived.reward[:n][lived.action[:n] == a] for a in range(5)]
        bound = [paid.mean() + 0.7 * np.sqrt(squared(n + 1) / len(paid)) for paid in done]  # in pull t = n + 1
        same(lived.memory["bound"][n + 1], bound)
        assert lived.action[n] == np.argmax(bound)


@pytest.mark.parametrize(
    ("epsilon", "arms", "pulls", "printed"), [(0.1, 10, 100, 77.4), (0.01, 10, 100, 77.4), (0.0, 5, 10, 6.6)]
)
def test_the_published_epsilon_greedy_is_within_two_percent_of_the_printed_figure(epsilon, arms, pulls, printed):
    tasks = metarl_envs.tasks(BERNOULLI, arms=arms, horizon=pulls)
    learner = EpsilonGreedy(epsilon=epsilon, rl2_baseline=True)
    earned = lifetime_returns(tasks.sample(20_000, seed=1), tasks.variant, learner, np.arange(20_000), episodes=1)
    assert abs(earned.mean() / printed - 1) < 0.02


def test_posteriors_of_thompson_sampling():
    lived = Stream(Thompson(), bandit(BERNOULLI), states=1, rewards=lambda draw, n: 1.0 * (draw.random(n) < 0.3))
    for a in range(5):
        paid = lived.reward[lived.action == a]
        assert lived.memory["a"][-1, a] == 1 + paid.sum()
        assert lived.memory["b"][-1, a] == 1 + len(paid) - paid.sum()
    lived = Stream(GaussianThompson(prior_mean=0.5, prior_sd=0.4, noise=0.7), bandit(GAUSSIAN), states=1)
    for a in range(5):
        paid = lived.reward[lived.action == a]
        precision = 0.4**-2 + len(paid) * 0.7**-2
        same(lived.memory["variance"][-1, a], 1 / precision)
        same(lived.memory["mean"][-1, a], (0.5 * 0.4**-2 + paid.sum() * 0.7**-2) / precision)


def test_thompson_pulls_each_arm_with_the_chance_that_it_is_the_best():
    learner, variant = GaussianThompson(), bandit(GAUSSIAN, arms=3)
    act = GaussianThompson.act

    def pull(hyper, memories, streams, actions):
        for n in range(len(actions)):
            actions[n] = act(hyper[0], memories[0], 0, streams[0])

    memories, actions = rows(1, learner.memory(learner.p, variant)), np.zeros(20_000, np.int64)
    memories["mean"], memories["variance"] = [0.3, 0.5, 0.2], [0.04, 0.01, 0.25]
    streams = rows(1, STREAM)
    compiled("test.thompson", pull).pull(learner.hyper, memories, streams, for_drivers(actions))
    draws = np.random.default_rng(0).normal([0.3, 0.5, 0.2], [0.2, 0.1, 0.5], (400_000, 3)).argmax(axis=1)
    table = np.stack([np.bincount(actions), np.bincount(draws)])
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_lin_ucb_is_ridge_regression_and_its_bound():
    variant, width, alpha = bandit(LINEAR), 1.5, 1.5 * 0.4
    x = LinearBandit.features(variant.p)
    lived = Stream(LinUCB(exploration=width, prior_sd=0.8, noise=0.4), variant, states=1, steps=200)
    for n in (0, 1, 5, 199):
        done, paid = x[lived.action[:n]], lived.reward[:n]
        gram = (0.4 / 0.8) ** 2 * np.eye(2) + done.T @ done  # A of Li et al., with the penalty on the diagonal
        weights = np.linalg.solve(gram, done.T @ paid)
        np.testing.assert_allclose(lived.memory["mean"][n], weights, rtol=1e-9, atol=1e-12)
        bound = x @ weights + alpha * np.sqrt(np.einsum("ai,ij,aj->a", x, np.linalg.inv(gram), x))
        np.testing.assert_allclose(lived.memory["bound"][n + 1], bound, rtol=1e-9)
        assert lived.action[n] == bound.argmax()


# ------------------------------------------------------------------------------------------------- UCRL2
@pytest.mark.plain
def test_the_optimistic_values_of_ucrl2_by_brute_force():
    """Two states: the best of 2,001 chances within the radius, in every state, for every action, at every step."""
    learner, variant = UCRL2(width=0.05, prior_mean=0.2), mdp(states=2)
    lived = Stream(learner, variant, states=2, steps=100)
    n = int(np.flatnonzero(lived.ended)[-1]) + 1  # just planned
    memory, episodes = lived.memory[n], int(lived.ended[:n].sum())
    log = np.log(2 * 2 * ACTIONS * (episodes + 1) / 0.05)
    value, grid, unsure = np.zeros(2), np.linspace(0, 1, 200_001), 0
    for t in reversed(range(HORIZON)):
        q = np.zeros((2, ACTIONS))
        for s in range(2):
            for a in range(ACTIONS):
                here = (lived.seen[:n] == s) & (lived.action[:n] == a)
                visits = here.sum()
                reward = (0.2 + lived.reward[:n][here].sum()) / (1 + visits) + 0.05 * np.sqrt(4 * log / max(visits, 1))
                first = ((lived.then[:n][here] == 0).sum() + 1) / (visits + 2)
                radius = 0.05 * np.sqrt(4 * 2 * log / max(visits, 1))
                allowed = grid[2 * abs(grid - first) <= radius + 1e-9]
                unsure += len(allowed) > 1
                q[s, a] = reward + (allowed * value[0] + (1 - allowed) * value[1]).max()
        np.testing.assert_allclose(memory["q"][t], q, atol=1e-4)
        value = q.max(axis=1)
    assert unsure == 2 * ACTIONS * HORIZON


@pytest.mark.plain
def test_the_optimistic_transitions_of_ucrl2_by_linear_programming():
    """One step of extended value iteration: the best chances within the radius, found by a solver."""
    learner = UCRL2(width=0.1)
    lived = Stream(learner, mdp(), steps=150)
    memory = lived.memory[int(np.flatnonzero(lived.ended)[-1]) + 1]
    for t in (0, HORIZON - 2):
        value = memory["q"][t + 1].max(axis=1)
        for s in range(STATES):
            for a in range(ACTIONS):
                mean, radius = memory["transition"][s, a], memory["radius"][s, a]
                # p, then the distance of each chance from its mean
                apart = np.block([[np.eye(STATES), -np.eye(STATES)], [-np.eye(STATES), -np.eye(STATES)]])
                limits = np.vstack([apart, np.append(np.zeros(STATES), np.ones(STATES))])
                found = linprog(
                    -np.append(value, np.zeros(STATES)),
                    A_ub=limits,
                    b_ub=np.concatenate([mean, -mean, [radius]]),
                    A_eq=[np.append(np.ones(STATES), np.zeros(STATES))],
                    b_eq=[1],
                    bounds=[(0, 1)] * (2 * STATES),
                )
                np.testing.assert_allclose(memory["q"][t, s, a], memory["reward"][s, a] - found.fun, atol=1e-7)


@pytest.mark.parametrize(
    ("learner", "after_10", "after_25"),
    [
        (UCRL2(width=0.3, prior_mean=0.0), 146.6, 424.1),  # printed by RL²
        (UCRL2(width=1.0, prior_mean=0.0, prior_sd=1e3, concentration=1e-3), 124.1, 342.0),  # simulated, the theory's width
    ],
    ids=repr,
)
def test_ucrl2_earns_what_is_printed(learner, after_10, after_25):
    tasks = metarl_envs.tasks(MDP)
    earned = lifetime_returns(tasks.sample(1500, seed=1), tasks.variant, learner, np.arange(1500), episodes=25)
    assert earned[:, :10].sum(axis=1).mean() == pytest.approx(after_10, rel=0.02)
    assert earned.sum(axis=1).mean() == pytest.approx(after_25, rel=0.02)


def test_the_regret_of_ucrl2_grows_more_slowly_than_that_of_random():
    tasks = metarl_envs.tasks(MDP)
    sample = tasks.sample(300, seed=2)
    best = np.array([exact_returns(tasks.variant, row).oracle for row in sample])[:, None]
    regret = {
        learner: best - lifetime_returns(sample, tasks.variant, learner, np.arange(300), episodes=60)
        for learner in (UCRL2(), Random())
    }
    ucrl2, random = regret.values()
    assert ucrl2.sum() < 0.4 * random.sum()
    assert ucrl2[:, 30:].mean() < 0.3 * random[:, 30:].mean()


# ------------------------------------------------------------------------------------------------- sources that do not learn
@pytest.mark.slow
@pytest.mark.parametrize("id", [ROOM, MDP, GAUSSIAN, "MetaRL/DarkKeyToDoor-v0"])
def test_the_noise_annealed_oracle_is_random_at_one_end_and_the_oracle_at_the_other(id):
    tasks = metarl_envs.tasks(id, horizon=20)
    sample, oracle = tasks.sample(400, seed=1), tasks.variant.family.references["oracle"]
    random, knowing = (
        lifetime_returns(sample, tasks.variant, NoiseAnnealed(steps=steps, final_epsilon=last), np.arange(400), episodes=6)
        for steps, last in ((1, 1.0), (1, 0.0))
    )
    exact = np.array([exact_returns(tasks.variant, row) or (np.nan, np.nan) for row in sample])
    if np.isnan(exact).any():
        exact = np.stack(
            [
                lifetime_returns(sample, tasks.variant, x, np.arange(400) + 9000, episodes=60).mean(axis=1)
                for x in (Random(), oracle)
            ],
            1,
        )
    for earned, expected in ((random, exact[:, 0]), (knowing[:, 1:], exact[:, 1])):  # its very first step is random
        difference = earned.mean(axis=1) - expected
        assert abs(difference.mean()) <= 4 * difference.std() / np.sqrt(len(difference)) + 1e-9
    if id == ROOM:
        same(knowing[:, 1:], np.broadcast_to(exact[:, 1:], (400, 5)))


def test_the_noise_of_the_annealed_oracle_falls_in_a_straight_line():
    """The chance of a step that is not the oracle's, in a bandit where a random pull is the best arm one time in five."""
    tasks = metarl_envs.tasks(GAUSSIAN, horizon=100, noise=0.0)
    sample = tasks.sample(4000, seed=1)
    learner = NoiseAnnealed(steps=80, final_epsilon=0.1)
    paid = lifetime_returns(sample, tasks.variant, learner, np.arange(4000), episodes=1, block=1)
    best, mean = sample["mean"].max(axis=1), sample["mean"].mean(axis=1)
    told = ((best[:, None] - paid) / (best - mean).mean()).mean(axis=0)
    epsilon = np.maximum(0.1, 1 - np.arange(100) / 80)
    np.testing.assert_allclose(told, epsilon, atol=0.06)
    assert abs((told - epsilon).mean()) < 0.005


def test_the_mix_of_dpt():
    """Against NumPy: (1 - w) Dirichlet + w one arm, w of 0, 0.1, ..., 1; one arm alone in one trial of eleven."""
    learner, variant = DPTBehaviour(), bandit(GAUSSIAN)
    begin = DPTBehaviour.begin

    def wake(hyper, memories, params, streams):
        for i in range(len(memories)):
            begin(hyper[0], memories[i], params[0], streams[0])

    memories = rows(20_000, learner.memory(learner.p, variant))
    memories.view(np.ndarray)[...] = learner.initial_memory(variant)
    compiled("test.dpt", wake).wake(learner.hyper, memories, variant.params, rows(1, STREAM))
    chance = memories.view(np.ndarray)["chance"]
    np.testing.assert_allclose(chance.sum(axis=1), 1)
    draw = np.random.default_rng(0)
    weight = draw.integers(11, size=(20_000, 1)) / 10
    expected = (1 - weight) * draw.dirichlet(np.ones(5), 20_000) + weight * np.eye(5)[draw.integers(5, size=20_000)]
    for summary in (np.max, np.min, lambda x, axis: x[:, 2]):
        assert stats.ks_2samp(summary(chance, axis=1), summary(expected, axis=1)).pvalue > 1e-4
    alone = int((chance.max(axis=1) == 1).sum())
    assert stats.binomtest(alone, 20_000, 1 / 11).pvalue > 1e-4


def test_dpt_acts_uniformly_in_a_room():
    variant = metarl_envs.tasks(ROOM).variant
    assert Row(DPTBehaviour().initial_memory(variant)[0]).bandit == 0
    lived = Stream(DPTBehaviour(), variant, steps=5000)
    assert stats.chisquare(np.bincount(lived.action, minlength=5)).pvalue > 1e-4


# ------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QLambda(trace_decay=1.5), r"trace_decay=1.5.*from 0 to 1"),
        (lambda: CountBonusQ(bonus=-1.0), r"bonus=-1"),
        (lambda: SARSA(epsilon=float("nan")), r"epsilon=nan"),
        (lambda: ActorCritic(critic_step_size=2.0), r"critic_step_size=2"),
        (lambda: GradientBandit(step_size=-0.1), r"step_size=-0.1"),
        (lambda: GaussianThompson(noise=0.0), r"noise=0"),
        (lambda: LinUCB(prior_sd=0.0), r"prior_sd=0"),
        (lambda: UCRL2(delta=0.0), r"delta=0"),
        (lambda: NoiseAnnealed(steps=0), r"steps=0"),
    ],
)
def test_a_hyperparameter_out_of_range_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_where_learners_cannot_live():
    room, arms = metarl_envs.tasks(ROOM).variant, bandit(BERNOULLI)
    assert "bandits" in EpsilonGreedy().why_unsuitable(room)
    assert "bandits" in GradientBandit().why_unsuitable(room)
    assert "features" in LinUCB().why_unsuitable(arms)
    assert "states" in SARSA().why_unsuitable(metarl_envs.tasks("MetaRL/CartPole-v0").variant)
    assert "Discrete" in NoiseAnnealed().why_unsuitable(metarl_envs.tasks("MetaRL/Pendulum-v0").variant)
    assert not PSRL().runs_by_default(room)
    assert not UCRL2().runs_by_default(room)
    assert UCRL2().runs_by_default(mdp())
