"""The table of verbs: numbers, sentences, masks and keys follow from it, and rules exist once for Python and for kernels."""

from types import SimpleNamespace

import numpy as np
import pytest

from metarl_envs.boxes.envs.seat import kept
from metarl_envs.boxes.envs.seats import AmnesiaSeat
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.scenarios.hazard import HazardBox
from metarl_envs.boxes.scenarios.invention import InventionBox
from metarl_envs.boxes.view.numbers import senses_of, sights_of, view_length
from metarl_envs.boxes.view.picture import links
from metarl_envs.boxes.view.words import Grammar, words_for
from metarl_envs.boxes.world.core import TAKE, WAIT, always, once
from metarl_envs.boxes.world.days import DAYS
from metarl_envs.boxes.world.hazard import HAZARD
from metarl_envs.boxes.world.mechanisms import (
    MECHANISMS,
    action_count_in,
    as_kernels_see,
    begins_in,
    box_parameters,
    legality_in,
    mechanisms_of,
    table_in,
    table_of,
    used_in,
    verbs_of,
)
from metarl_envs.boxes.world.notes import ERASE, LOOK, NOTE, NOTES, POST, READ
from metarl_envs.boxes.world.symbols import SYMBOLS
from metarl_envs.boxes.world.texts import TEXTS
from metarl_envs.boxes.world.topology import TOPOLOGY, VISIT
from metarl_envs.boxes.world.tree import items_of, level_of, levels_of, lineages_of, places_of
from metarl_envs.boxes.world.verbs import Verb, acting, contending, counting, legality, masking
from metarl_envs.engine import Row, kernel
from metarl_envs.engine.compiling.kernels import plain

TREE = {"lineages": 2, "levels": 3, "width": 4, "bases": 6, "crossover": 0}
#: Boxes in which every verb, some of them, and almost none are there.
BOXES = [
    {"topology": "chosen", "notes": 5, "board": 3, "page": 2},
    {"topology": "ring", "notes": 0, "board": 2, "page": 1, "structure": "grammar", "bases": 16},
    {"agents": 1, "notes": 9, "page": 4, "day": 10},
    {"notes": 0, "board": 0},
    {"notes": 3, "board": 2, "notation": "symbols", "alphabet": 4, "entry_bytes": 3},
]


def box(params):
    return InventionBox.with_params(**{**TREE, **params})


# ------------------------------------------------------------------------------------------------- numbers and sentences
def test_actions_are_numbered_in_the_order_of_the_table():
    """Verbs that a box does not use have no actions and take up no numbers."""
    verbs = verbs_of(box(BOXES[0]).p)
    counts = {"take": 36, "wait": 1, "note": 5, "erase": 5, "read": 3, "post": 3, "look": 2, "visit": 6}
    assert {name: count for name, count in verbs.counts.items() if count} == counts
    assert [verbs.first[name] for name in counts] == [0, 36, 37, 42, 47, 50, 53, 55]
    assert verbs.end == 61 == int(box(BOXES[0]).action.high[0]) + 1
    assert (verbs.note, verbs.visit) == (37, 55)
    with pytest.raises(AttributeError, match="no verb is called 'sing'"):
        _ = verbs.sing


@pytest.mark.parametrize("params", BOXES)
def test_every_action_is_one_action_of_one_verb(params):
    p = box(params).p
    verbs, numbers = verbs_of(p), as_kernels_see(p)
    found = [verbs.find(action) for action in range(verbs.end)]
    assert [verb.name for verb, _ in found] == [verb.name for verb in verbs for _ in range(verbs.counts[verb.name])]
    for action, (verb, k) in enumerate(found):
        assert verbs.first[verb.name] + k == action
    for wrong in (-1, verbs.end):
        with pytest.raises(ValueError, match=f"action={wrong} is none of 0 to {verbs.end - 1}"):
            verbs.find(wrong)
    assert plain(action_count_in(mechanisms_of(p)))(numbers) == verbs.end
    for verb in verbs.table:
        assert plain(begins_in(mechanisms_of(p), verb))(numbers) == verbs.first[verb.name]


@pytest.mark.parametrize("params", BOXES)
def test_every_action_has_a_sentence_that_means_it(params):
    p = box(params).p
    grammar, verbs = Grammar(p, words_for(items_of(p), 3)), verbs_of(p)
    said = [grammar.say(action, hand=-1) for action in range(verbs.end)]
    assert len(set(said)) == verbs.end
    assert [grammar.parse(sentence, hand=-1)[:1] for sentence in said] == [(action,) for action in range(verbs.end)]
    for verb in verbs.table:
        there = any(verbs.counts[other.name] for other in verbs.table if other.word == verb.word)
        assert any(form.startswith(verb.word) for form in grammar.forms().split(", ")) == there
        if verbs.counts[verb.name] or not there:
            sentence = verb.sentence.format(place=1, agent="agent_1", item=grammar.words[1], text="so")
            assert bool(grammar.parse(sentence, hand=-1).problem) != there


def test_words_of_verbs_are_no_items():
    """`visit` has the form of a nonce word. No two verbs of a box begin with the same word, or a sentence would mean either."""
    verbs = [verb.word for verb in table_of(tuple(each for each in MECHANISMS if each not in (SYMBOLS, TEXTS)))]
    assert len(set(verbs)) == len(verbs) >= 17
    for params in BOXES:
        in_box = [verb.word for verb in verbs_of(box(params).p)]
        assert len(set(in_box)) == len(in_box)
    verbs += [verb.word for verb in SYMBOLS.verbs]
    assert "visit" in verbs
    assert not set(verbs) & {word for key in range(40) for word in words_for(2000, key)}


# ------------------------------------------------------------------------------------------------- kernels of a table
@kernel
def sing(params, task, state, i, k, rng):
    """Sing a song."""
    state.sung[i] = k


@kernel
def has_breath(params, state, i, k):
    """Whether agent i can sing song k."""
    return state.breath[i] > k


@kernel
def three(params):
    """Three songs."""
    return 3


@kernel
def echo(params, state, actions, i, k):
    """The last who sings is heard."""
    state.heard[0] = 10 * i + k


SING = Verb("sing", "sing {place}", "sings song {place}", three, has_breath, sing, contend=echo)


def choir():
    return SimpleNamespace(agents=2), SimpleNamespace(sung=[-1, -1], breath=[2, 3], illegal=[0, 0], heard=[-1])


def test_a_new_verb_is_one_entry_and_nothing_else():
    params, state = choir()
    table = (WAIT, SING)
    act, contend, legal = plain(acting(table)), plain(contending(table)), plain(legality(table))
    assert plain(counting(table))(params) == 4
    assert [legal(params, state, 0, action) for action in range(5)] == [True, True, True, False, False]
    act(params, None, state, 0, 2, None)
    act(params, None, state, 1, 0, None)
    assert (state.sung, state.illegal) == ([1, -1], [0, 0])
    act(params, None, state, 0, 3, None)
    assert (state.sung, state.illegal) == ([1, -1], [1, 0])
    act(params, None, state, 1, 3, None)
    assert state.sung == [1, 2]
    contend(params, state, [2, 0])
    assert state.heard == [1]
    contend(params, state, [2, 3])
    assert state.heard == [12]
    mask = [9] * 6
    plain(masking(table))(params, state, 0, mask, 1)
    assert mask == [9, 1, 1, 1, 0, 9]


def test_a_verb_in_front_moves_the_numbers_of_all_others():
    params, state = choir()
    plain(acting((SING, WAIT)))(params, None, state, 1, 2, None)
    assert state.sung == [-1, 2]
    verb = Verb("rest", "rest", "", once, always, sing)
    plain(acting((verb, SING, WAIT)))(params, None, state, 1, 2, None)
    assert state.sung == [-1, 1]


# ------------------------------------------------------------------------------------------------- one definition
@pytest.mark.parametrize("params", BOXES)
def test_masks_are_what_is_legal(params):
    """The mask that an agent is shown, from the chain that writes masks, and the chain that says yes or no to one action."""
    variant = box({**params, "illusions": 0.5})
    p, rng = variant.p, np.random.default_rng(0)
    numbers, length = as_kernels_see(p), view_length(p)
    row = np.zeros(1, variant.state)[0]
    row["hand"], row["first_at"] = -1, -1
    row["held"] = rng.integers(0, 2, row["held"].shape)
    row["tried"][0], row["hand"][0] = (2, 3), 1
    if "where" in row.dtype.names:
        row["where"] = p.agents - 1
    row["notes"][..., 3], row["board"][..., 3] = -1, -1
    row["notes"][0, 0], row["open"][0, 0] = (1, 2, 8, 5), 1
    state, task = Row(row), Row(np.zeros(1, variant.task)[0])
    view = np.full(length + verbs_of(p).end, np.nan)
    plain(sights_of(p).see)(numbers, task, state, 0, view)
    is_legal = plain(legality_in(used_in(p)))
    expected = [float(is_legal(numbers, state, 0, action)) for action in range(verbs_of(p).end)]
    assert view[length:].tolist() == expected
    assert 0 < sum(expected) < len(expected)
    assert ((view >= 0) & (view <= 1)).all()


def test_a_view_is_as_long_as_what_stands_in_it():
    items = 2 * (6 + 3 * 4)
    assert view_length(box({"notes": 4, "board": 2}).p) == 3 * items + 8 + 4 * 6 + 6
    assert senses_of(box({"notes": 4, "board": 2}).p) == 3 * items
    assert view_length(box({"agents": 1}).p) == items + 8 + 1
    assert senses_of(box({"structure": "grammar", "bases": 16, "board": 1}).p) == 5 * (2 * (16 + 3 * 4))


def test_where_items_stand_is_said_once():
    p = box({}).p
    assert levels_of(p).tolist() == [0] * 12 + [1] * 8 + [2] * 8 + [3] * 8
    assert lineages_of(p).tolist() == [0] * 6 + [1] * 6 + ([0] * 4 + [1] * 4) * 3
    assert places_of(p).tolist() == [*range(6), *range(6)] + [*range(4)] * 6
    assert plain(level_of)(p, 20) == 2
    with pytest.raises(ValueError, match="read-only"):
        levels_of(p)[0] = 3


def test_who_sees_whom_is_said_once():
    p = box({"agents": 5, "topology": "caveman", "group": 3}).p
    assert links(p, []) == {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (3, 4), (4, 3), (2, 3), (3, 2), (4, 0), (0, 4)}
    assert links(box({"agents": 3, "topology": "chosen"}).p, [2, -1, 1]) == {(0, 2), (2, 1)}


def test_what_a_seat_leaves_out():
    """Of the whole row: marks of the top level, what was copied, whom it sees, and waiting."""
    p = AmnesiaSeat.with_params(levels=2, width=6, bases=6, recipes=2, notes=8, horizon=1080).p
    items, length = 18, view_length(p)
    left_out = sorted(set(range(length + verbs_of(p).end)) - set(kept(p).tolist()))
    assert left_out == [*range(2 * items - 6, 2 * items), 3 * items + 4, length - 1, length + items]


# ------------------------------------------------------------------------------------------------- mechanisms
def test_mechanisms_are_there_by_their_parameters_and_used_where_they_do_anything():
    def verbs_used(params):
        return {verb.name for mechanism in used_in(box(params).p) for verb in mechanism.verbs}

    assert mechanisms_of(Box.with_params().p) == MECHANISMS
    few = box_parameters(TOPOLOGY, DAYS, NOTES)  # in the order of a page, which is another
    assert mechanisms_of(SimpleNamespace(**few.resolve({}, "a box"))) == (DAYS, NOTES, SYMBOLS, TEXTS, TOPOLOGY)
    assert HAZARD in mechanisms_of(HazardBox.with_params().p)
    assert HAZARD not in mechanisms_of(box({}).p)
    assert mechanisms_of(SimpleNamespace(day=3, relabel="never")) == MECHANISMS[:1]
    assert verbs_used({"notes": 0, "board": 0, "agents": 1}) == set()
    assert verbs_used({"notes": 0, "board": 1, "agents": 1}) == {verb.name for verb in (NOTE, ERASE, READ, POST, LOOK)}
    assert verbs_used({"notes": 0, "board": 0, "agents": 2}) == {VISIT.name}


@pytest.mark.parametrize("params", [*BOXES, {"topology": "isolated"}, {"board": 4, "agents": 1}])
def test_what_has_no_actions_is_not_compiled_and_no_action_is_left_out(params):
    p = box(params).p
    verbs, there = verbs_of(p), table_in(p)
    assert all(verb in there for verb in verbs)
    assert [verb for verb in table_of(used_in(p)) if verb in there] == list(there), "they must be in order"
    assert (NOTE in there, POST in there, VISIT in there) == (p.notes > 0, p.board > 0, p.topology == "chosen")
    assert (TOPOLOGY in used_in(p)) == (p.agents > 1 and p.topology != "isolated")


def test_what_is_not_used_is_not_compiled():
    """The step of a box without notes reaches no kernel of notes; with them, it does."""
    assert not modules_reached(box({"notes": 0, "board": 0}).kernel("step")) & {"notes"}
    assert not modules_reached(box({"notes": 2}).kernel("step")) & {"hazard", "symbols", "texts"}
    assert modules_reached(box({"notes": 2, "notation": "symbols"}).kernel("step")) >= {"notes", "symbols"}
    assert modules_reached(HazardBox.with_params().kernel("step")) >= {"hazard"}
    assert not modules_reached(HazardBox.with_params().kernel("step")) & {"claims"}
    assert not modules_reached(HazardBox.with_params().kernel("look_again")) & {"claims"}
    assert modules_reached(Box.with_params(board=2, selection="mix").kernel("step")) >= {"claims"}
    assert not modules_reached(box({"agents": 1, "notes": 2}).kernel("step")) & {"topology"}
    everything = modules_reached(box({"notes": 2}).kernel("step"))
    assert everything >= {"core", "days", "notes", "topology", "tree", "step", "verbs"}


def modules_reached(start):
    """The files of `world` whose kernels a kernel reaches."""
    seen, waiting = set(), [start]
    while waiting:
        function = getattr(found := waiting.pop(), "py_func", found)
        if found in seen or not hasattr(function, "__code__"):
            continue
        seen.add(found)
        names = {name: function.__globals__.get(name) for name in function.__code__.co_names}
        waiting += [value for value in names.values() if hasattr(getattr(value, "py_func", value), "__code__")]
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        waiting += [value for value in cells if hasattr(getattr(value, "py_func", value), "__code__")]
    named = {getattr(found, "py_func", found).__module__ for found in seen}
    return {name.rpartition(".")[2] for name in named if ".boxes.world." in name}


def test_a_kernel_in_plain_form_calls_plain_kernels_only():
    is_legal = legality_in(MECHANISMS)
    reached = plain(is_legal)
    assert not hasattr(reached, "py_func")
    assert plain(is_legal) is reached
    assert TAKE.count is not None
    assert not hasattr(plain(TAKE.count), "py_func")


@pytest.mark.parametrize("missing", [DAYS, NOTES, TOPOLOGY])
def test_a_box_without_what_every_box_has_is_refused(missing):
    with pytest.raises(ValueError, match=r"a box needs (DAYS|NOTES|TOPOLOGY) too"):
        box_parameters(*(mechanism for mechanism in MECHANISMS if mechanism is not missing))
