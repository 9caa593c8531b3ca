"""What a language model states to be best, beside what it does and what the posterior says; and gains over a control."""

import numpy as np
import pytest
from scipy import integrate, stats

from metarl_envs import boxes
from metarl_envs.boxes.study.measures import column, measure
from metarl_envs.engine.composing import family_at
from metarl_envs.evaluation import evaluate, gain, knowing_doing
from metarl_envs.evaluation.statistics import over_seeds
from metarl_envs.ids import family_of
from metarl_envs.players import LanguageModel
from tests import an_example

pytestmark = pytest.mark.plain

scripted = an_example.load("scripted_endpoint.py")

SETTINGS = {"split": None, "tasks": 3, "seeds": 1, "episodes": 1, "arms": 3, "horizon": 9}
#: Sits in the same box, with and without notes.
BOX = {"agents": 1, "horizon": 24, "day": 8, "levels": 3, "width": 2, "bases": 4, "recipes": 2, "lineages": 1}


def family(id):
    return family_at(family_of(id))


def played(reply, tmp_path, id="BernoulliBandit", **more):
    with scripted.Endpoint(reply=reply) as endpoint:
        path = tmp_path / "chat.jsonl"
        player = LanguageModel("scripted", base_url=endpoint.url, transcript=path, states_best=True, **more)
        run = evaluate(id, {"model": player}, **SETTINGS).run("model")
        return run, path, [question["messages"] for question in endpoint.asked], player.counts


# ------------------------------------------------------------------------------------------------- posteriors
def test_expected_rewards_are_those_of_the_posterior():
    bernoulli, gap, gaussian, linear = map(family, ("BernoulliBandit", "GapBandit", "GaussianBandit", "LinearBandit"))
    p = bernoulli.with_params(arms=2).p
    assert bernoulli.expected_rewards(p, {"a": np.array([3.0, 1.0]), "b": np.array([1.0, 1.0])}).tolist() == [0.75, 0.5]
    p = gap.with_params(arms=2, gap=0.4).p
    assert gap.expected_rewards(p, {"good": np.array([1.0, 0.25])}) == pytest.approx([0.7, 0.4])
    p = gaussian.with_params(arms=3).p
    belief = {"mean": np.array([p.high, p.low - 1.0, 0.0]), "precision": np.array([2.0, 5.0, 0.0])}

    def mean(k):
        density = stats.norm(belief["mean"][k], belief["precision"][k] ** -0.5).pdf
        whole = integrate.quad(density, p.low, p.high)[0]
        return integrate.quad(lambda x: x * density(x), p.low, p.high)[0] / whole

    assert gaussian.expected_rewards(p, belief) == pytest.approx([mean(0), mean(1), (p.low + p.high) / 2])
    p = linear.with_params(arms=4, dimensions=2).p
    weights = np.array([0.5, -1.0])
    assert linear.expected_rewards(p, {"mean": weights}) == pytest.approx(linear.features(p) @ weights)
    assert family("DarkRoom").expected_rewards(family("DarkRoom").with_params().p, {}) is None


# ------------------------------------------------------------------------------------------------- knowing and doing
def test_who_states_one_arm_and_pulls_another_has_a_gap_that_the_posterior_tells(tmp_path):
    run, path, asked, counts = played(lambda messages: "I think.\nBest: arm 1\n\narm 0", tmp_path)
    assert (run.actions == 0).all()
    found = knowing_doing(run, path)
    rewards = run.columns().columns["reward"]
    wins = np.concatenate([np.zeros((3, 1)), np.cumsum(rewards, axis=1)[:, :-1]], axis=1)
    mean = (1 + wins) / (2 + np.arange(9))  # of arm 0, the only one that is pulled; the others stay at 1/2
    assert found.knows == pytest.approx((mean <= 0.5).mean(axis=1))
    assert found.greedy == pytest.approx((mean >= 0.5).mean(axis=1))
    assert (found.stated == 1).all()
    assert (found.does == 0).all()
    assert found.summary()["gap"].mean == pytest.approx((mean <= 0.5).mean())
    assert counts["malformed"] == 0
    assert "begins with 'best:'" in asked[0][0]["content"]


def test_who_does_what_it_states_has_none_and_what_names_no_arm_is_not_stated(tmp_path):
    def reply(messages):
        return (
            "nonsense\nbest: arm 2" if len(messages) == 2 else "best: the first\narm 2" if len(messages) < 8 else "best: 2.\n2"
        )

    run, path, _, counts = played(reply, tmp_path)
    found = knowing_doing(run, path)
    assert counts["malformed"] > 0
    assert (found.does == 1).all()
    assert ((found.stated > 0) & (found.stated < 1)).all()
    assert found.gap == pytest.approx(found.knows - 1)


def test_what_states_nothing_tells_nothing(tmp_path):
    run, path, _, _ = played(lambda messages: "arm 0", tmp_path)
    found = knowing_doing(run, path)
    assert (found.stated == 0).all()
    assert np.isnan(found.gap).all()
    told = found.summary()
    assert np.isnan(told["gap"].mean)
    assert told["stated"].mean == 0, "which is what there is to be told"
    assert told["greedy"].mean == pytest.approx(found.greedy.mean())


def test_transcripts_and_families_that_tell_nothing_are_refused(tmp_path):
    run, path, _, _ = played(lambda messages: "best: 0\n0", tmp_path)
    other = evaluate("BernoulliBandit", {"random": "random"}, **{**SETTINGS, "seeds": 2}).run("random")
    with pytest.raises(ValueError, match="has no reply of"):
        knowing_doing(other[3:], path)
    room = evaluate("DarkRoom", {"random": "random"}, split=None, tasks=2, seeds=1, episodes=1, horizon=4).run("random")
    with pytest.raises(ValueError, match="no bandit whose posterior"):
        knowing_doing(room, path)
    (tmp_path / "no").write_text("{}\n")
    with pytest.raises(ValueError, match="is no transcript"):
        knowing_doing(run, tmp_path / "no")


# ------------------------------------------------------------------------------------------------- gain
def in_box(name, **more):
    return boxes.run("AmnesiaBox", {"all": name}, **{"boxes": 6, "seed": 3, **BOX, **more})


def test_a_gain_is_paired_and_tells_how_many_trials_it_would_take():
    run, control = in_box("notes_best_path", notes=4), in_box("notes_best_path", notes=0)
    found = gain(run, control[np.arange(6)[::-1]], within=0.5)
    apart = run.returns - control.returns
    assert found.difference == over_seeds(apart)
    assert found.trials == 6

    def half(n):
        return stats.t.ppf(0.975, n - 1) * apart.std(ddof=1) / np.sqrt(n)

    assert half(found.needed) <= 0.5 < half(found.needed - 1)
    spread = np.sqrt(run.returns.var(ddof=1) + control.returns.var(ddof=1))
    n = found.needed_unpaired
    both = [stats.t.ppf(0.975, 2 * k - 2) * spread / np.sqrt(k) for k in (n, n - 1)]
    assert both[0] <= 0.5 < both[1]
    deep = gain(run, control, score=lambda lived: column(measure(lived), "depth"))
    assert deep.difference == over_seeds(column(measure(run), "depth") - column(measure(control), "depth"))
    assert gain(run, run).needed == 2
    assert gain(run, run).difference.mean == 0
    assert gain(run, control, within=1e-6).needed is None
    assert str(gain(run, run)).startswith("+0.000 ±0.000 in 6 trials; ±0.05 would take 2 paired and ")


def test_what_is_not_paired_has_no_gain():
    run = in_box("random", boxes=3)
    for control in (run[:2], in_box("random", boxes=3, seed=4)):
        with pytest.raises(ValueError, match="the same tasks and seeds"):
            gain(run, control)
    with pytest.raises(ValueError, match="has 1 row"):
        gain(run[:1], run[:1])
    with pytest.raises(ValueError, match="within=0"):
        gain(run, run, within=0)
    with pytest.raises(ValueError, match="not finite"):
        gain(run, run, score=lambda lived: np.full(len(lived), np.nan))
