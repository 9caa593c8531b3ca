"""What batches hand out is kept up to date; it must equal what looking anew gives, whatever happens in a box."""

import copy
import functools
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metarl_envs.boxes.envs.batch import make_vec
from metarl_envs.boxes.envs.sight import Sight
from metarl_envs.boxes.players.scientists import SCIENTISTS
from metarl_envs.boxes.players.simulate import CompiledSeats
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.view.numbers import sights_of, view_length
from metarl_envs.boxes.world.claims import RETENTIONS
from metarl_envs.boxes.world.step import step_of
from metarl_envs.boxes.world.topology import TOPOLOGIES
from metarl_envs.boxes.world.tree import NOTHING, tree_error
from metarl_envs.engine import ByParameters, kernel
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.records import Row
from tests.worlds import LIVELY_BOXES

#: One layout of rows for most tests: each layout is compiled once.
SMALL = {"agents": 3, "notes": 3, "board": 2, "page": 2, "lineages": 2, "levels": 3, "width": 2, "bases": 8, "dead_ends": 0.0}
SMALL |= {"recipes": 1, "crossover": 0}
#: Everything happens: things are copied with luck, experiments deceive, days end, there is somebody to visit.
LIVELY = {**SMALL, "group": 2, "visit": 0.3, "stay": 2, "fidelity": 0.6, "illusions": 0.4, "day": 11, "horizon": 29}

BOXES = {
    "topology": st.sampled_from(TOPOLOGIES),
    "day": st.sampled_from([0, 1, 2, 9]),
    "free_reading": st.booleans(),
    "structure": st.sampled_from(["lookup", "grammar"]),
    "illusions": st.sampled_from([0.0, 0.5]),
    "fidelity": st.sampled_from([0.5, 1.0]),
    "pays": st.sampled_from(["own", "first", "mean"]),
    "horizon": st.integers(2, 40),
    "group": st.integers(1, 4),
    "visit": st.just(0.3),
    "stay": st.just(2),
}
#: What rows are laid out by, so that it is compiled anew.
LAYOUTS = {
    "agents": st.integers(1, 5),
    "notes": st.integers(0, 5),
    "board": st.integers(0, 3),
    "page": st.integers(1, 4),
    "lineages": st.integers(1, 2),
    "levels": st.integers(1, 4),
    "width": st.integers(1, 4),
    "bases": st.integers(4, 10),
    "recipes": st.integers(1, 2),
    "features": st.integers(2, 3),
}
#: Health comes and goes, and things change hands.
HAZARDS = {
    "health": st.sampled_from([0.0, 2.0]),
    "p_clean": st.sampled_from([0.3, 1.0]),
    "harm": st.sampled_from([0.3, 1.5]),
    "regeneration": st.just(0.1),
    "recover": st.sampled_from([0, 1, 4]),
    "visibility": st.sampled_from(["public", "private", "hidden"]),
    "sabotage": st.sampled_from(["erase", "falsify"]),
    "harm_mask": st.booleans(),
}
#: Claims are made, tested, cited and corrupted, and those who made them die.
CLAIMED = {
    "selection": st.sampled_from(["consequentialist", "seems_right", "approval", "mix"]),
    "corruption": st.sampled_from([0.0, 0.7]),
    "lifespan": st.sampled_from([4, 15]),
    "illusions": st.just(0.5),
    "page": st.integers(1, 3),
    "retention": st.sampled_from(RETENTIONS),
}


def anew(envs):
    """What all see, by the central view of the engine's own `observe`, which is written whole, in ordinary Python."""
    worlds = envs._envs._worlds
    rows = np.zeros(worlds.count, envs.variant.observation.dtype)
    states, tasks = worlds.worlds.view(np.ndarray), worlds.task_rows.view(np.ndarray)
    params = Row(worlds.variant.params.view(np.ndarray)[0])
    look_around = plain(sights_of(worlds.variant.p).look_around)
    for b in range(worlds.count):
        look_around(params, Row(tasks[int(states["task"][b])]), Row(states["state"][b]), Row(rows[b]))
    return {name: rows[name] for name in rows.dtype.names}


def check(envs, seen):
    expected = anew(envs)
    for name, array in seen.items():
        np.testing.assert_array_equal(array, expected[name])


def choose(rng, mask):
    """Actions by the mask; combining what was just tried again and other verbs than items more often than by chance."""
    actions = np.zeros(mask.shape[:2], np.int64)
    for b, i in np.ndindex(actions.shape):
        legal = np.flatnonzero(mask[b, i]) if rng.random() < 0.95 else np.arange(mask.shape[2])
        verbs = legal[-(mask.shape[2] // 2) :]
        actions[b, i] = rng.choice(verbs if rng.random() < 0.4 else legal)
    return actions


def live(envs, steps, seed):
    """Random lives in which, now and then, some boxes begin anew, on given tasks too, or all go back to a snapshot."""
    rng = np.random.default_rng(seed)
    seen, _ = envs.reset(seed=seed)
    check(envs, seen)
    kept, over = envs.get_state(), np.zeros(envs.num_boxes, np.bool_)
    for _ in range(steps):
        luck = rng.random()
        if over.any() or luck < 0.04:
            mask = over | (np.arange(envs.num_boxes) == rng.integers(envs.num_boxes))
            task = {} if rng.random() < 0.5 else {"task": int(rng.integers(5))}
            seen, _ = envs.reset(options={"reset_mask": mask, **task})
            check(envs, seen)
        elif luck < 0.07:
            envs.set_state(kept)
        elif luck < 0.1:
            kept = envs.get_state()
        seen, _, terminated, truncated, _ = envs.step(choose(rng, seen["action_mask"]))
        check(envs, seen)
        if envs.autoreset_mode is AutoresetMode.DISABLED:
            over = terminated | truncated


@pytest.mark.plain  # compiled for boxes of any size, see below
@settings(max_examples=12, deadline=None)
@given(st.fixed_dictionaries(BOXES), st.sampled_from(list(AutoresetMode)), st.booleans(), st.integers(0, 2**20))
def test_what_is_kept_up_to_date_is_what_is_there(params, mode, reuse, seed):
    live(make_vec("InventionBox", 2, autoreset_mode=mode, reuse_arrays=reuse, **SMALL, **params), 40, seed)


@pytest.mark.slow
@pytest.mark.plain
@settings(max_examples=8, deadline=None)
@given(st.fixed_dictionaries({**BOXES, **HAZARDS}), st.sampled_from(list(AutoresetMode)), st.integers(0, 2**20))
def test_what_others_do_to_one_is_seen_at_once(params, mode, seed):
    live(make_vec("HazardBox", 2, autoreset_mode=mode, **SMALL, **params), 60, seed)


@pytest.mark.slow
@pytest.mark.plain
@settings(max_examples=8, deadline=None)
@given(st.fixed_dictionaries({**BOXES, **CLAIMED}), st.sampled_from(list(AutoresetMode)), st.integers(0, 2**20))
def test_what_is_claimed_is_seen_at_once(params, mode, seed):
    assume(params["pays"] != "first" or params["selection"] == "consequentialist")
    live(make_vec("SealedBox", 2, autoreset_mode=mode, **{**SMALL, **params}), 60, seed)


@pytest.mark.plain
def test_what_scientists_do_to_claims_is_seen_at_once():
    """They claim, test, cite and retract what others read at the time; some die, and entries are corrupted."""
    shown = set()
    for more in ({}, {"day": 0, "free_reading": True}):  # without dawns nobody looks at everything anew when one dies
        envs = make_vec("SealedBox", 1, **{**LIVELY_BOXES["SealedBox"], **more})
        worlds, actions = envs._envs._worlds, np.zeros((1, 3), np.int64)
        envs.reset(seed=2)
        seats = [
            CompiledSeats(SCIENTISTS[name], envs.variant, np.arange(3)[None] == i)
            for i, name in enumerate(("replicator", "citer", "sceptic"))
        ]
        for _ in range(60):
            for each in seats:
                each.act(worlds.task_rows, worlds.worlds, actions)
            seen, *_ = envs.step(actions)
            check(envs, seen)
            shown |= {name for name in ("claimed", "confirmed", "refuted", "cited") if envs.worlds[name].any()}
            if ((envs.worlds["author"] == NOTHING) & (envs.worlds["claimed"] == 1)).any():
                shown.add("of the dead")
    assert shown == {"claimed", "confirmed", "refuted", "cited", "of the dead"}


#: What a refusal may name.
NAMED = ("selection", "corruption", "retention", "channel", "lifespan", "topology")
#: All mechanisms at once, in any combination.
TOGETHER = {
    **HAZARDS,
    **CLAIMED,
    "selection": st.sampled_from(["none", "consequentialist", "seems_right", "approval", "mix"]),
    "lifespan": st.sampled_from([0, 4, 15]),
    "channel": st.sampled_from(["none", "demonstration", "board", "both"]),
    "apprenticeship": st.just(3),
    "board": st.sampled_from([0, 2]),
    "copy_error": st.sampled_from([0.0, 0.5]),
}


@pytest.mark.slow
@pytest.mark.plain
@settings(max_examples=25, deadline=None)
@given(st.fixed_dictionaries({**BOXES, **TOGETHER}), st.sampled_from(list(AutoresetMode)), st.integers(0, 2**20))
def test_mechanisms_in_any_combination_are_kept_up_to_date(params, mode, seed):
    """Or the combination is refused, with the reason."""
    given = {**SMALL, **params}
    refusal = Box.parameter_error(SimpleNamespace(**Box.params.resolve(given, "Box")))
    if refusal is None:
        live(make_vec(Box, 2, autoreset_mode=mode, **given), 40, seed)
    else:
        assert any(f"{name}={given[name]!r}" in refusal for name in NAMED), refusal


@pytest.mark.nightly
@pytest.mark.slow
@settings(max_examples=4, deadline=None)  # each is compiled: others are lived in plain mode, above
@given(st.fixed_dictionaries({**BOXES, **LAYOUTS, **HAZARDS}), st.sampled_from(list(AutoresetMode)), st.integers(0, 2**20))
def test_boxes_of_any_size_are_kept_up_to_date(params, mode, seed):
    p = Box.params.resolve(params, "Box")
    assume(tree_error(type("p", (), p)) is None and (p["topology"] != "chosen" or p["agents"] > 1))
    live(make_vec(Box, 2, autoreset_mode=mode, reuse_arrays=True, **params), 150, seed)


@pytest.mark.slow
def test_all_that_can_change_does_change_in_these_lives():
    """Or the property above would hold of little."""
    envs = make_vec("InventionBox", 8, reuse_arrays=True, **{**LIVELY, "horizon": 200}, topology="dynamic", structure="grammar")
    seen, _ = envs.reset(seed=0)
    low = high = np.concatenate([seen["observation"], seen["action_mask"]], axis=2)
    rng = np.random.default_rng(0)
    for _ in range(200):
        seen = envs.step(choose(rng, seen["action_mask"]))[0]
        both = np.concatenate([seen["observation"], seen["action_mask"]], axis=2)
        low, high = np.minimum(low, both), np.maximum(high, both)
    varies = (low < high).any(axis=(0, 1))
    items, view = 28, view_length(envs.variant.p)
    assert (varies[: 5 * items].reshape(5, items).sum(axis=1) >= 8).all()  # not all is made, and bases are always held
    assert varies[5 * items : view].all()  # senses, entries, companions
    assert varies[view : view + items].sum() > 16
    assert varies[view + items + 1 :].all()  # all verbs but waiting


def test_what_is_given_out_again_and_again_cannot_be_written_to():
    envs = make_vec("InventionBox", 2, reuse_arrays=True, **LIVELY)
    first, _ = envs.reset(seed=0)
    then = envs.step(np.zeros((2, 3), int))[0]
    for name in first:
        assert np.shares_memory(first[name], then[name])
        with pytest.raises(ValueError, match="read-only"):
            then[name][0] = 1
    flat = make_vec("InventionBox", 2, flat=True, reuse_arrays=True, **LIVELY)
    rows, _ = flat.reset(seed=0)
    assert np.shares_memory(rows["observation"], flat.step(np.zeros(6, int))[0]["observation"])


def test_copies_of_boxes_are_kept_up_to_date_by_themselves():
    envs = make_vec("InventionBox", 2, reuse_arrays=True, **LIVELY)
    seen, _ = envs.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        seen = envs.step(choose(rng, seen["action_mask"]))[0]
    before = {name: array.copy() for name, array in seen.items()}
    for other in (copy.deepcopy(envs), pickle.loads(pickle.dumps(envs))):
        for _ in range(5):
            check(other, other.step(choose(rng, seen["action_mask"]))[0])
    for name, array in seen.items():
        np.testing.assert_array_equal(array, before[name])
    check(envs, envs.step(choose(rng, seen["action_mask"]))[0])


def test_rows_that_nobody_observes_are_the_same_rows():
    """The boxes of a batch write no observation of their own; they move as those that do."""
    from metarl_envs.engine.envs.vector import FamilyVectorEnv

    layout = {"notes": 2, "board": 1, "page": 1, "lineages": 1, "bases": 4}  # of `test_boxes_core`
    envs = make_vec("InventionBox", 3, **{**LIVELY, **layout})
    plain = FamilyVectorEnv(envs.tasks, num_envs=3)
    assert not hasattr(envs._envs, "observation_space"), "the bounds of what nobody sees take as much memory as all views"
    seen, _ = envs.reset(seed=4)
    rows, _ = plain.reset(seed=4)
    rng = np.random.default_rng(0)
    for _ in range(70):
        actions = choose(rng, seen["action_mask"])
        seen, rewards, *ends, info = envs.step(actions)
        rows, paid, *plain_ends, plain_info = plain.step(actions)
        np.testing.assert_equal(seen, rows)
        np.testing.assert_array_equal(ends, plain_ends)
        np.testing.assert_allclose(rewards.sum(axis=1), paid)
        np.testing.assert_array_equal(info["trial"]["trial_start"], plain_info["trial"]["trial_start"])
    assert envs.worlds["illegal"].any()


# ------------------------------------------------------------------------------------------------- boxes of one's own
@functools.cache
def taking_all_away(live_one_step):
    @kernel
    def take_all_away(params, task, state, actions, rng):
        """A step after which agent 0 has lost its first item."""
        paid = live_one_step(params, task, state, actions, rng)
        state.held[0, 0] = 0
        return paid

    return take_all_away


class Thief(Box):
    """A box with a step of its own."""

    step = ByParameters(lambda p: taking_all_away(step_of(p)))


class Blindfold(Box):
    """A box with an `observe` of its own, and nothing that goes with it."""

    observe = kernel(lambda params, task, state, obs: None)


@pytest.mark.plain
def test_a_box_with_a_step_of_its_own_is_looked_at_anew():
    envs = make_vec(Thief, 2, reuse_arrays=True, **SMALL)
    seen, _ = envs.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        seen = envs.step(choose(rng, seen["action_mask"]))[0]
        check(envs, seen)
        assert (seen["observation"][:, 0, 0] == 0).all()


@pytest.mark.slow
def test_a_box_that_sees_otherwise_must_say_so_twice():
    with pytest.raises(TypeError, match="lacks a `look`"):
        make_vec(Blindfold, 2, **SMALL).reset(seed=0)


# ------------------------------------------------------------------------------------------------- holes and shapes
@pytest.mark.plain
def test_in_a_grammar_box_holes_and_shapes_of_what_is_held_are_seen():
    params = {"agents": 2, "levels": 3, "width": 4, "bases": 16, "features": 3, "notes": 2, "topology": "isolated"}
    envs = make_vec("InventionBox", 4, structure="grammar", crossover=0, illusions=0.3, **params)
    seen, _ = envs.reset(seed=0)
    rng, items = np.random.default_rng(0), 56
    for _ in range(60):
        seen = envs.step(choose(rng, seen["action_mask"]))[0]
    held = envs.worlds["held"] > 0
    assert held.sum() > 8 * 32
    planes = seen["observation"][:, :, 3 * items : 5 * items].reshape(4, 2, 2, items)
    tasks = envs._envs._worlds.task_rows
    for number, name in enumerate(("hole", "shape")):
        kind = np.where(held, (tasks[name][:, None] + 1) / 3, 0)
        np.testing.assert_allclose(planes[:, :, number], kind, rtol=1e-6)
    recipe = tasks["recipe"][0]
    for made in np.flatnonzero(recipe[:, 0, 0] != NOTHING):  # what is seen tells what may work
        a, b = recipe[made, 0]
        assert tasks["fits"][0][tasks["hole"][0, a]] == tasks["shape"][0, b]


def test_a_lookup_box_shows_neither():
    lookup, grammar = (
        make_vec("InventionBox", 1, structure=structure, crossover=0, bases=10) for structure in ("lookup", "grammar")
    )
    items = 2 * (10 + 80)
    assert view_length(grammar.variant.p) - view_length(lookup.variant.p) == 2 * items
    assert view_length(lookup.variant.p) == items + 8 + 6


def test_the_sight_of_boxes_is_too_big_for_some_memories():
    envs = make_vec("InventionBox", 1, **SMALL)
    worlds = envs._envs._worlds
    worlds.count = 10**13
    with pytest.raises(MemoryError, match="observations with their action masks"):
        Sight(worlds, reuse_arrays=False)
