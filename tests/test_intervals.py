"""Intervals cover what they promise: by hand where a table is small, and by simulation.

Run as a script, this file prints the table of coverage. `slow` tests hold it.
"""

import numpy as np
import pytest
from scipy import stats

from metarl_envs.evaluation.statistics import (
    Interval,
    curve_over_seeds_and_tasks,
    over_boxes,
    over_seeds,
    over_seeds_and_tasks,
    over_tables,
    ratio_of_sums,
)

REPLICATES = 20_000
#: Seeds, tasks; standard deviations of the effects of seed, task, both together, and of noise.
CELLS = (
    (3, 17, 0.1, 0.1, 0.05, 0.1),
    (3, 100, 0.1, 0.1, 0.05, 0.1),
    (5, 100, 0.1, 0.02, 0.05, 0.1),
    (5, 100, 0.1, 0.3, 0.05, 0.1),
    (10, 100, 0.1, 0.1, 0.05, 0.1),
    (5, 6, 0, 0.3, 0, 0.1),  # as GridNavi's test split
    (5, 100, 0, 0.05, 0, 0.5),  # as learners, whose seeds are noise
    (5, 100, 0, 0, 0, 0.5),
    (2, 100, 0.1, 0.1, 0.05, 0.1),
    (2, 6, 0, 0.3, 0, 0.1),
    (3, 100, 0.1, 1, 0.05, 0.1),
    (10, 6, 0.1, 0.1, 0.05, 0.1),
    (5, 17, 0.1, 0.2, 0.05, 0.1),
    (10, 2, 0, 0.1, 0, 0.1),
    (2, 100, 0.1, 0, 0, 0.3),
    (3, 3, 0.1, 0.1, 0, 0.05),
)
#: Effects that are not normal, by name: of seeds and of tasks, both of mean 0.
NOT_NORMAL = {
    "one task in ten is unsolved": (lambda rng, shape: rng.normal(0, 0.03, shape), lambda rng, shape: 0.1 - rare(rng, shape)),
    "effects of seeds are exponential": (
        lambda rng, shape: rng.exponential(0.1, shape) - 0.1,
        lambda rng, shape: rng.normal(0, 0.1, shape),
    ),
    "one seed in ten fails": (
        lambda rng, shape: rng.normal(0, 0.03, shape) + (0.1 - rare(rng, shape)) / 2,
        lambda rng, shape: rng.normal(0, 0.1, shape),
    ),
}


def rare(rng, shape):
    """1 one time in ten, else 0."""
    return 1.0 * (rng.random(shape) < 0.1)


def coverage_not_normal(name, seeds, tasks=100, replicates=REPLICATES):
    """How often the interval for the distribution of tasks holds the truth."""
    (of_seeds, of_tasks), rng, held = NOT_NORMAL[name], np.random.default_rng(seeds), 0
    for count in [1000] * (replicates // 1000):
        values = of_seeds(rng, (seeds, 1, 1, count)) + of_tasks(rng, (1, tasks, 1, count))
        _, low, high = curve_over_seeds_and_tasks(values + rng.normal(0, 0.1, (seeds, tasks, 1, count)))
        held += ((low <= 0) & (high >= 0)).sum()
    return held / replicates


def coverage(cell, replicates=REPLICATES, level=0.95):
    """How often both kinds of interval hold the truth, and half the median width of the second over its standard error."""
    seeds, tasks, seed, task, both, noise = cell
    rng, held, half = np.random.default_rng(list(map(ord, repr(cell)))), np.zeros(2), []
    for count in [1000] * (replicates // 1000):
        of_task = rng.normal(0, task, (1, tasks, 1, count))
        values = rng.normal(0, seed, (seeds, 1, 1, count)) + of_task + rng.normal(0, both, (seeds, tasks, 1, count))
        values += rng.normal(0, noise, values.shape)
        for_these = stats.t.interval(level, seeds - 1, *_of_seeds(values))
        _, *for_all = curve_over_seeds_and_tasks(values, level)
        for i, (truth, (low, high)) in enumerate([(of_task.mean(axis=(0, 1, 2)), for_these), (0, for_all)]):
            held[i] += ((low <= truth) & (truth <= high)).sum()
        half.append((for_all[1] - for_all[0]) / 2)
    error = np.sqrt(seed**2 / seeds + task**2 / tasks + (both**2 + noise**2) / (seeds * tasks))
    return *(held / replicates), float(np.median(half) / error)


def _of_seeds(values):
    """Mean and standard error over the means of seeds, for each unit."""
    means = values.mean(axis=(1, 2))
    return means.mean(axis=0), stats.sem(means)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_intervals_cover_what_they_promise(cell):
    for_these, for_all, _ = coverage(cell)
    chance = 4 * np.sqrt(0.95 * 0.05 / REPLICATES)
    assert abs(for_these - 0.95) < chance
    assert for_all > 0.95 - chance
    assert for_all < 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seeds", "stated"),
    [
        ("one task in ten is unsolved", 5, 0.95),
        ("one task in ten is unsolved", 10, 0.94),
        ("effects of seeds are exponential", 5, 0.9),
        ("effects of seeds are exponential", 10, 0.92),
        ("one seed in ten fails", 5, 0.62),
        ("one seed in ten fails", 10, 0.68),
    ],
)
def test_what_is_said_of_effects_that_are_not_normal(name, seeds, stated):
    assert coverage_not_normal(name, seeds) == pytest.approx(stated, abs=0.012)


def coverage_of_tables(tasks, seed, both, replicates=REPLICATES, seeds=5):
    """How often the interval over several kinds of tasks holds the truth, where what a seed does well it does well in all."""
    rng, held = np.random.default_rng(sum(tasks)), 0
    for _ in range(replicates):
        of_seed = rng.normal(0, seed, (seeds, 1))
        tables = [
            of_seed + rng.normal(0, both, (seeds, 1)) + rng.normal(0, 0.2, (1, count)) + rng.normal(0, 0.3, (seeds, count))
            for count in tasks
        ]
        _, low, high = over_tables(tables)
        held += low <= 0 <= high
    return held / replicates


@pytest.mark.slow
@pytest.mark.parametrize(("tasks", "seed", "both"), [((20, 100), 0.1, 0.05), ((17, 30, 100), 0.0, 0.1), ((20, 20), 0.0, 0.0)])
def test_intervals_over_several_kinds_of_tasks_cover_what_they_promise(tasks, seed, both):
    replicates = 2_000
    covered = coverage_of_tables(tasks, seed, both, replicates)
    assert covered > 0.95 - 4 * np.sqrt(0.95 * 0.05 / replicates)
    assert covered < 0.995


# ------------------------------------------------------------------------------------------------- by hand
def table(cells):
    """Scores of one lifetime and one unit."""
    return np.array(cells, float)[:, :, None, None]


@pytest.mark.parametrize("turned", [False, True])
def test_the_mean_squares_of_a_small_table(turned):
    """Seeds 1 and 5, tasks -2, 0, 2 and an interaction of ±1 in two cells: worked out by hand."""
    cells = np.array([[-1 + 1, 1 - 1, 3], [3 - 1, 5 + 1, 7]])
    # Mean 3; means of seeds 1, 5; of tasks 1, 3, 5; what is left is ±1 in four cells.
    m_seeds, m_tasks, m = 3 * (4 + 4) / 1, 2 * (4 + 0 + 4) / 2, 4 / 2
    t_seeds, t_tasks = 12.706205, 4.302653
    by_seeds = t_seeds**2 * m_seeds + t_tasks**2 * (m_tasks - m)
    by_tasks = t_tasks**2 * m_tasks + t_seeds**2 * (m_seeds - m)
    half = np.sqrt(max(by_seeds, by_tasks) / 6)
    assert over_seeds_and_tasks(table(cells.T if turned else cells)) == pytest.approx((3, 3 - half, 3 + half), rel=1e-6)


def test_where_tasks_differ_by_no_more_than_noise_nothing_is_taken_off():
    """Mean square of tasks 0, of the rest 2: the t-interval over seeds is not made narrower by it."""
    cells = [[1, -1, 0], [3, 5, 4]]
    assert over_seeds_and_tasks(table(cells)) == pytest.approx(over_seeds(table(cells)))


def test_a_ratio_of_sums_has_the_interval_of_a_linearised_ratio():
    part, whole = np.array([1.0, 3.0, 2.0, 6.0]), np.array([2.0, 4.0, 4.0, 6.0])
    told = ratio_of_sums(part, whole)
    assert told.mean == 0.75
    half = 3.182446 * np.std(part - 0.75 * whole, ddof=1) / 2 / 4.0
    np.testing.assert_allclose([told.low, told.high], [0.75 - half, 0.75 + half], rtol=1e-6)
    assert np.isnan(ratio_of_sums(part, 0 * whole)).all()
    assert ratio_of_sums(part[:1], whole[:1])[0] == 0.5


def test_boxes_without_a_meaning_are_left_out_of_a_mean():
    assert over_boxes(np.array([1.0, np.nan, 3.0, 5.0])) == over_seeds(np.array([1.0, 3.0, 5.0]))
    assert over_boxes(np.array([np.nan, 2.0]))[0] == 2.0
    assert np.isnan(over_boxes(np.array([np.nan]))).all()


@pytest.mark.parametrize(
    ("interval", "half", "ends"),
    [
        (Interval(1.5, 1.25, 1.75), "1.50 ±0.25", "+1.50 [+1.25, +1.75]"),
        (Interval(-1.5, np.nan, np.nan), "-1.50", "-1.50"),
        (Interval(np.nan, np.nan, np.nan), "-", "-"),
    ],
)
def test_an_interval_is_told(interval, half, ends):
    assert (interval.with_half_width(), interval.with_ends()) == (half, ends)
    assert Interval(1.5, 1.25, 1.75).with_half_width("+") == "+1.50 ±0.25"


def test_it_is_never_narrower_than_the_interval_for_these_tasks():
    values = np.random.default_rng(0).normal(size=(4, 5, 1, 1000)) + np.random.default_rng(1).normal(size=(1, 5, 1, 1))
    _, low, high = curve_over_seeds_and_tasks(values)
    mean, error = _of_seeds(values)
    inner_low, inner_high = stats.t.interval(0.95, 3, mean, error)
    assert (low <= inner_low + 1e-12).all()
    assert (high >= inner_high - 1e-12).all()


def test_seeds_and_tasks_have_no_order_and_scores_no_zero_and_no_unit():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(4, 6, 3, 5)) + rng.normal(size=(4, 1, 1, 1)) + rng.normal(size=(1, 6, 1, 1))
    curve = curve_over_seeds_and_tasks(values)
    mean, low, high = curve
    assert np.allclose(mean, values.mean(axis=(0, 1, 2)))
    assert np.allclose(curve_over_seeds_and_tasks(values[rng.permutation(4)][:, rng.permutation(6)]), curve)
    assert np.allclose(curve_over_seeds_and_tasks(values.swapaxes(0, 1)), curve)
    assert np.allclose(curve_over_seeds_and_tasks(7 - 3 * values), 7 - 3 * np.stack([mean, high, low]))
    assert np.allclose(curve_over_seeds_and_tasks(values.mean(axis=2, keepdims=True)), curve)
    assert np.allclose(curve_over_seeds_and_tasks(values, 0.5)[2] - mean, high - mean, rtol=0.9)
    assert (curve_over_seeds_and_tasks(values, 0.5)[2] < high).all()


def test_units_are_kept_apart_and_the_whole_is_their_mean():
    values = np.random.default_rng(3).normal(size=(3, 4, 2, 5))
    curve = curve_over_seeds_and_tasks(values)
    assert all(over_seeds_and_tasks(values[..., i : i + 1]) == pytest.approx(tuple(curve[:, i])) for i in range(5))
    assert over_seeds_and_tasks(values) == pytest.approx(over_seeds_and_tasks(values.mean(axis=3, keepdims=True)))


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1)])
def test_one_seed_or_one_task_tells_nothing_of_others(shape):
    values = np.random.default_rng(4).normal(size=(*shape, 2, 3))
    mean, low, high = curve_over_seeds_and_tasks(values)
    assert np.allclose(mean, values.mean(axis=(0, 1, 2)))
    assert np.isnan([low, high]).all()
    assert np.isnan(over_seeds_and_tasks(values)[1:]).all()


def test_equal_scores_have_an_interval_without_width():
    assert over_seeds_and_tasks(np.full((5, 7, 2, 3), 0.1)) == pytest.approx((0.1, 0.1, 0.1), abs=1e-12)
    assert over_seeds_and_tasks(np.ones((5, 7, 2, 3))) == (1, 1, 1)


def test_a_unit_that_has_no_score_stays_without_one():
    values = np.random.default_rng(5).normal(size=(3, 4, 1, 3))
    values[..., 0] = np.nan
    values[1, 2, 0, 1] = np.nan
    curve = curve_over_seeds_and_tasks(values)
    assert np.isnan(curve[:, :2]).all()
    assert (curve[:, 2:] == curve_over_seeds_and_tasks(values[..., 2:])).all()


def main() -> None:
    """Print the table of coverage."""
    print(
        "| seeds, tasks; sd of seed, task, seed x task, noise | for these tasks | for all tasks | half-width / standard error |"
    )
    print("|---|---|---|---|")
    for seeds, tasks, *spread in CELLS:
        these, distribution, wide = coverage((seeds, tasks, *spread))
        print(f"| {seeds}, {tasks}; {' '.join(f'{sd:g}' for sd in spread)} | {these:.3f} | {distribution:.3f} | {wide:.2f} |")
    print("\n| not normal, 100 tasks | 5 seeds | 10 seeds |\n|---|---|---|")
    for name in NOT_NORMAL:
        print(f"| {name} | {coverage_not_normal(name, 5):.3f} | {coverage_not_normal(name, 10):.3f} |")


if __name__ == "__main__":
    main()


def test_one_kind_of_tasks_is_what_it_was_and_two_alike_share_what_their_seeds_do():
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(4, 6))
    assert over_tables([cells]) == pytest.approx(over_seeds_and_tasks(table(cells)))
    # Only seeds differ, and each does alike in both kinds: that is one finding, and not two.
    of_seeds = np.repeat([[0.0], [1.0], [2.0]], 5, axis=1)
    assert over_tables([of_seeds, of_seeds]) == pytest.approx(over_tables([of_seeds]))
    # Only tasks differ, which are drawn for each kind: their variances add up, with a quarter of each.
    of_tasks = np.repeat([[0.0, 1.0, 2.0]], 4, axis=0)
    alone, both = over_tables([of_tasks]), over_tables([of_tasks, of_tasks + 3])
    assert both.mean == alone.mean + 1.5
    assert both.high - both.mean == pytest.approx((alone.high - alone.mean) / np.sqrt(2))


def test_several_kinds_of_tasks_count_alike_and_one_seed_has_no_interval():
    assert over_tables([np.zeros((2, 3)), np.ones((2, 30))]).mean == 0.5
    assert np.isnan(over_tables([np.zeros((1, 3)), np.ones((1, 30))])[1:]).all()
