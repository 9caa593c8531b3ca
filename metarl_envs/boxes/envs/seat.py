"""One seat of a box as a family of its own: the agent is agent 0, and scripted companions sit in the other seats.

The seats that have an id stand in `seats`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces

from metarl_envs.boxes.players import hazardous, scientists
from metarl_envs.boxes.players.agents import AGENTS
from metarl_envs.boxes.players.hazardous import first_gift, first_theft
from metarl_envs.boxes.players.keepers import NOTES_ALL, NOTES_BEST_PATH, NOTES_FIFO, NoteKeeper
from metarl_envs.boxes.players.scripted import Scripted, make_the_best
from metarl_envs.boxes.scenarios.box import Box, acts_of_one
from metarl_envs.boxes.view.numbers import SENSES, layout, numbers_at, senses_of, sights_of, view_length
from metarl_envs.boxes.view.words import sentences_of_agent
from metarl_envs.boxes.world.claims import CLAIMS
from metarl_envs.boxes.world.core import CHOOSING
from metarl_envs.boxes.world.hazard import HAZARD
from metarl_envs.boxes.world.lives import LIVES, OLDEST, has_lives, is_demonstrated
from metarl_envs.boxes.world.mechanism import Mechanism
from metarl_envs.boxes.world.mechanisms import (
    able_in,
    action_count_in,
    as_kernels_see,
    begins_at,
    mechanisms_of,
    used_in,
    verbs_of,
)
from metarl_envs.boxes.world.notes import note_numbers, note_planes
from metarl_envs.boxes.world.state import box_record
from metarl_envs.boxes.world.step import open_of, step_of
from metarl_envs.boxes.world.symbols import symbol_numbers
from metarl_envs.boxes.world.texts import are_texts, text_numbers
from metarl_envs.boxes.world.topology import CHOSEN, DYNAMIC, ISOLATED, VISIT
from metarl_envs.boxes.world.tree import items_in, items_of
from metarl_envs.engine import ByParameters, Oracle, Picture, Row, kernel, record
from metarl_envs.engine.compiling.kernels import plain, unsigned
from metarl_envs.engine.family import Keys, Variant
from metarl_envs.engine.sentences import Sentences
from metarl_envs.engine.streams import keyed

#: Who sits in the other seats.
COMPANIONS = ("waiting", "random", "never_repeat", "greedy", "oracle", "notes_fifo", "notes_best_path", "notes_unlimited")
_NEVER_REPEAT, _BEST_PATH, _UNLIMITED = map(COMPANIONS.index, ("never_repeat", "notes_best_path", "notes_unlimited"))
#: Beside those of each manner, in a company whose members differ in manner: each is of one that is drawn.
MIXED = "mixed"
_FIRST_MANNER = len(COMPANIONS)
#: How companions search: as the scripted agents of their names do.
_ONE_PAIR, _SEVERAL_PAIRS = AGENTS["never_repeat"].p.draws, AGENTS["greedy"].p.draws
_PROMISING_PAIRS, _PRIOR = AGENTS["clean"].p.draws, AGENTS["clean"].p.prior


@kernel
def wait(hyper, memory, params, task, state, i, rng):
    """Do nothing."""
    return items_in(params)


class Waiting(Scripted):
    """A companion that is there and does nothing."""

    act = wait


@kernel
def be_who_keeps_notes(params, style):
    """How companions search and what they write down, whoever they are that may write."""
    style.draws = _ONE_PAIR if params.companions == _NEVER_REPEAT else _SEVERAL_PAIRS
    style.verify = 0
    style.keep = NOTES_FIFO
    if params.companions == _BEST_PATH:
        style.keep = NOTES_BEST_PATH
    if params.companions == _UNLIMITED:
        style.keep = NOTES_ALL


@kernel
def be_who_experiments(params, style):
    """How experimenters search."""
    style.draws = _PROMISING_PAIRS
    style.prior = _PRIOR


@kernel
def be_who_does_science(params, style):
    """How scientists search."""
    style.draws = _SEVERAL_PAIRS


class Company(NamedTuple):
    """Scripted agents of one class, as companions who differ in manner.

    Attributes:
        mechanism: what they live by.
        needs: what they live by, and the parameter that brings it, for errors.
        kind: their class.
        manners: what each is called, in the order of its numbers.
        mixed: with companions="mixed" each is of one of so many manners, the first, by lot.
        be: `be(params, style)`, a kernel: how they search.
    """

    mechanism: Mechanism
    needs: str
    kind: type[Scripted]
    manners: tuple[str, ...]
    mixed: int
    be: Callable


EXPERIMENTERS = Company(
    HAZARD, "hazards: give health above 0", hazardous.Experimenter, hazardous.MANNERS, 4, be_who_experiments
)
SCIENTISTS = Company(
    CLAIMS,
    "claims: give selection='consequentialist'",
    scientists.Scientist,
    scientists.MANNERS,
    len(scientists.MANNERS),
    be_who_does_science,
)


def company_in(p: SimpleNamespace) -> Company | None:
    """The company that the others are of, who differ in manner; None where they do not, or there are none."""
    if p.agents == 1:
        return None
    for company in (EXPERIMENTERS, SCIENTISTS):
        if p.companions in company.manners or (p.companions == MIXED and company.mechanism in mechanisms_of(p)):
            return company
    return None


def companion_in(p: SimpleNamespace) -> Scripted:
    """Who sits in the other seats; nobody in particular where there are none."""
    if p.companions == "waiting" or p.agents == 1:
        return Waiting()
    company = company_in(p)
    return company.kind() if company else AGENTS[p.companions]


def seat_record(p: SimpleNamespace) -> np.dtype:
    """The box, and what the companions remember."""
    companion, company = companion_in(p), company_in(p)
    given = {name: value for name, value in vars(p).items() if name in Box.params.parameters and name != "preset"}
    box = Variant(Box, Box.params.resolve(given))  # the seat checks how they go together
    return record(
        box=box_record(p),
        style=(company.kind if company else NoteKeeper).params.dtype,
        memories=(companion.memory(companion.p, box), max(1, p.agents - 1)),
        actions=(np.int64, (p.agents, 1 + p.entry_bytes) if are_texts(p) else p.agents),
        seen=(np.float32, view_length(p) + verbs_of(p).end),
    )


@kernel
def stay_alike(params, state, i):
    """All companions are of one kind."""


@functools.cache
def _taking_manners(manners: int, mixed: int) -> Callable:
    """The kernel that lets companions of a company of so many manners each have its own, or, mixed, one of the first."""

    @kernel
    def take_manner(params, state, i):
        """Companion i has its own manner; where they are mixed, one that was drawn at the beginning."""
        manner = params.companions - _FIRST_MANNER
        if manner == manners:
            manner = keyed(state.box.noise, CHOOSING, params.horizon, i) % unsigned(mixed)
        state.style.manner = manner

    return take_manner


@functools.cache
def _sit_down(open_box: Callable, be_companions: Callable) -> Callable:
    @kernel
    def sit_down(params, task, state, rng):
        """Open the box, and let the companions be who they are.

        Items are called the same in all episodes: in another one of the trial they must be told again, and words that followed
        from the task would tell of it. (Where they are called otherwise each day, they are in other episodes too.)
        """
        open_box(params, task, state.box, rng)
        if params.relabel == 0:
            state.box.words = 0
        be_companions(params, state.style)

    return sit_down


def sitting_down(p: SimpleNamespace) -> Callable:
    """How a seat begins under parameters `p`."""
    company = company_in(p)
    return _sit_down(open_of(p), company.be if company else be_who_keeps_notes)


@kernel
def set_number(actions, i, number):
    """Let agent i do what has this number."""
    actions[i] = number


@kernel
def set_number_alone(actions, i, number):
    """The same where actions hold text: without any."""
    actions[i, 0] = number


@functools.cache
def _step_among(
    live_one_step: Callable, able: Callable, take_manner: Callable, begin: Callable, act: Callable, set_number: Callable
) -> Callable:
    """The step of a seat among companions of one kind: what others would do is not compiled."""

    @kernel
    def companion(params, task, state, i, rng):
        """What companion i does; it begins anew where its memory was reset."""
        memory, style = state.memories[i - 1], state.style
        rng.s = keyed(state.box.noise, CHOOSING, state.box.t, i)
        take_manner(params, state, i)
        if state.box.forgot[i] != 0:
            begin(style, memory, params, rng)
        if not able(params, state.box, i):
            return items_in(params)
        return act(style, memory, params, task, state.box, i, rng)

    @kernel
    def step_among_companions(params, task, state, action, rng):
        """All act at once; the reward is that of agent 0."""
        for i in range(1, params.agents):
            set_number(state.actions, i, companion(params, task, state, i, rng))
        state.actions[0] = action
        live_one_step(params, task, state.box, state.actions, rng)
        return state.box.reward[0], False

    return step_among_companions


def step_among(p: SimpleNamespace) -> Callable:
    """The step of a seat among the companions that there are."""
    companion, company = companion_in(p), company_in(p)
    manners = _taking_manners(len(company.manners), company.mixed) if company else stay_alike
    put = set_number_alone if are_texts(p) else set_number
    return _step_among(step_of(p), able_in(used_in(p)), manners, type(companion).begin, companion.acting(p), put)


# ------------------------------------------------------------------------------------------------- what is seen
#: How many stretches of agent 0's row there are that a seat may see.
_STRETCHES = 17


first_visit = begins_at(VISIT)


@kernel
def numbers_of_entries(params):
    """How many numbers are seen of notes and board, in whichever notation."""
    return note_numbers(params) + symbol_numbers(params) + text_numbers(params)


@kernel
def dies(params):
    """Whether agents die."""
    return params.lifespan > 0


@kernel
def has_teachers_to_tell_apart(params):
    """Whether anybody may be a teacher; the oldest are the same ones again and again."""
    return is_demonstrated(params) and params.teacher != OLDEST


@kernel
def not_here(params):
    """What a box without lives says to all of these."""
    return False


@functools.cache
def _stretch(
    mechanisms: tuple[Mechanism, ...],
    whole: Mechanism | None,
    deals: bool,
    mortal: Callable,
    taught: Callable,
    told_apart: Callable,
) -> Callable:
    """The kernel that tells what a seat sees in a box of these mechanisms.

    `whole` is the first of those at the end of the row whose numbers it sees all, and `deals` says whether agents may deal with
    one another.
    """
    where, action_count = layout(mechanisms), action_count_in(mechanisms)
    senses_at, size = where.senses_at, where.size
    whole_at = numbers_at(mechanisms, whole) if whole else size

    @kernel
    def stretch(params, n):
        """Where the n-th stretch of agent 0's row in the whole box begins and ends that a seat sees.

        Left out is what never changes: where there are notes, what could be made with things of the highest level (nothing);
        how much was copied, where nobody is seen or learned from; the rest of the day, where there are no days; whom it sees,
        and from whom it learns, where that is always the same; of lives, what there is not; and, of the mask, waiting (always
        allowed) and visiting, robbing and endowing oneself (never).
        """
        items, entries, senses, view = items_in(params), numbers_of_entries(params), senses_at(params), size(params)
        marked = note_planes(params) > 0
        end = view + action_count(params)
        theft, gift = end, end
        if deals and params.agents > 1:
            theft, gift = view + first_theft(params), view + first_gift(params)
        visits = view + first_visit(params)
        moves = params.topology == DYNAMIC or params.topology == CHOSEN
        alone = (params.agents == 1 or (params.topology == ISOLATED and not deals)) and not taught(params)
        others = senses + 8 + entries
        life = others + params.agents
        if n == 0:  # what is held
            return 0, items
        if n == 1:  # what to take next
            return items, 2 * items - params.lineages * params.width if marked else items
        if n == 2:  # what makes nothing, then holes and shapes
            return 2 * items if marked else items, senses
        if n == 3:  # the hand and the last experiment
            return senses, senses + 4
        if n == 4:  # what was copied
            return senses + 4, senses + 4 if alone else senses + 5
        if n == 5:  # memory and time
            return senses + 5, senses + 8 if params.day > 0 else senses + 7
        if n == 6:  # entries
            return senses + 8, others
        if n == 7:  # others
            return others + 1, life if moves else others + 1
        if n == 8:  # its life
            return life, life + 1 if mortal(params) else life
        if n == 9:  # whether anybody learns from it
            return life + 1, life + 2 if taught(params) else life + 1
        if n == 10:  # from whom it learns
            return life + 3, life + 2 + params.agents if told_apart(params) else life + 3
        if n == 11:  # health, and what is done to others; what is claimed
            return whole_at(params), view
        if n == 12:  # the mask: items, and all verbs but waiting
            return view, view + items
        if n == 13:
            return view + items + 1, visits
        if n == 14:
            return visits + 1 if params.topology == CHOSEN else visits, theft
        if n == 15:
            return min(theft + 1, gift), gift
        return min(gift + 1, end), end

    return stretch


@functools.cache
def _see_from_seat(see: Callable, stretch: Callable) -> Callable:
    @kernel
    def see_from_seat(params, task, state, obs):
        """What agent 0 sees, and its action mask, without what never changes."""
        see(params, task, state.box, 0, state.seen)
        k = 0
        for n in range(_STRETCHES):
            first, end = stretch(params, n)
            for at in range(first, end):
                obs[k] = state.seen[at]
                k += 1

    return see_from_seat


def _stretch_of(p: SimpleNamespace) -> Callable:
    mechanisms, used = mechanisms_of(p), used_in(p)
    lives = dies, is_demonstrated, has_teachers_to_tell_apart
    whole = next((mechanism for mechanism in (HAZARD, CLAIMS) if mechanism in used), None)
    return _stretch(mechanisms, whole, HAZARD in used, *(lives if LIVES in mechanisms else (not_here,) * 3))


def see_from_seat_of(p: SimpleNamespace) -> Callable:
    """What a seat sees under parameters `p`."""
    return _see_from_seat(sights_of(p).see, _stretch_of(p))


def kept(p: SimpleNamespace) -> np.ndarray:
    """Which numbers of agent 0's row in the whole box a seat sees, in order: all but those that never change."""
    stretch, params = plain(_stretch_of(p)), as_kernels_see(p)
    return np.concatenate([np.arange(*stretch(params, n)) for n in range(_STRETCHES)])


def action_mask(p: SimpleNamespace, observation: np.ndarray) -> np.ndarray:
    """Which actions would do something, bool [..., actions], by what a seat sees, [..., numbers]."""
    view, actions = view_length(p), verbs_of(p).end
    kept_actions = kept(p)
    kept_actions = kept_actions[kept_actions >= view] - view
    mask = np.zeros((*np.shape(observation)[:-1], actions), np.bool_)
    mask[..., kept_actions] = np.asarray(observation)[..., -len(kept_actions) :] > 0
    mask[..., verbs_of(p).wait] = True
    return mask


# ------------------------------------------------------------------------------------------------- references
@kernel
def make_the_best_from_seat(hyper, memory, params, task, state, rng):
    """Make what pays most of all that can be made now."""
    return make_the_best(hyper, memory, params, task, state.box, 0, rng)


@kernel
def make_the_best_without_text(hyper, memory, params, task, state, rng, action):
    """The same where actions hold text: it writes none."""
    for k in range(len(action)):
        action[k] = 0
    action[0] = make_the_best(hyper, memory, params, task, state.box, 0, rng)


class KnowsTheRecipes(Oracle):
    """Knows the recipes: always makes what pays most of all that it can make. Strong, not proved to be the best."""

    act = make_the_best_from_seat


class KnowsTheRecipesAndWritesNothing(KnowsTheRecipes):
    """The same where actions hold text."""

    array_actions = True
    act = make_the_best_without_text


# ------------------------------------------------------------------------------------------------- for people who play
def keys_of_seat(p: SimpleNamespace) -> Keys:
    """Keys by what they mean now: the things in the order of their tiles, and the verbs that there are."""
    from metarl_envs.boxes.view.seat_picture import FORCE_KEYS, SeatView, item_keys

    def asks(what: Callable[[SeatView], int | None]) -> Callable[[Row], int | None]:
        return lambda state: what(SeatView(p, state.box))

    keys: dict[str, tuple[int | Callable[[Row], int | None], str]] = {}
    verbs = verbs_of(p)
    for verb in verbs:
        if verb.key and verb.key.exists(p):
            keys[verb.key.letter] = asks(lambda seat, verb=verb: seat.press(verb)), verb.key.label
    for n, key in enumerate(item_keys(p)[: items_of(p)]):
        keys[key] = asks(lambda seat, n=n: seat.take(n)), ""
    if verbs.counts.get("force") and not p.harm_mask:
        for n, key in enumerate(FORCE_KEYS[: items_of(p)]):
            keys[key] = asks(lambda seat, n=n: seat.force(n)), "force" if n == 0 else ""
    return keys


# ------------------------------------------------------------------------------------------------- the families
class Seat(Box):
    """A seat in a box. The subclass names the box, and its page says what differs.

    Observation:
        `Box(0, 1, (n,), float32)`, n being 351 in InventionBox, 1105 in AmnesiaBox, 513 in GenerationsBox, 181 in HazardBox and
        857 in SealedBox, in this order; all counts follow from the parameters, and what never changes is left out
        (`metarl_envs.boxes.envs.seat.kept` says which numbers of agent 0's row in the whole box these are):

        * one number an item: 0 not held, 0.5 held, 1 in the hand. Items are numbered level by level, bases first, in each
          level lineage by lineage. What only seems to have been made looks like any other.
        * with notes or a board, one number an item below the highest level: 1 for what to take next, by an open entry whose two
          items are held and whose product is not. With one of the two in the hand that is the other; with an empty hand the
          first of the two (not the second, so that one at a time can be followed).
        * with notes or a board, one number an item, held or not: 1 where an open entry says that it makes nothing with what is
          in the hand.
        * with structure="grammar", the hole of each item that is held, then the shape of each: their numbers, from 1, over
          `features`; 0 for what is not held.
        * whether the hand is full; whether there was an experiment yet today; whether the last one seemed to work; the level of
          what it seemed to make, over `levels`.
        * unless alone or isolated, or with teachers: a quarter for each thing copied in this step, 1 at most; 0 at dawn, when
          it is lost.
        * `forgot`: 1 where memory was reset, in the first observation, at each dawn and at each birth. Whoever remembers more
          cheats.
        * the share of the episode that is left; with days, of the day.
        * for each entry of the notes, then of the board: whether it is filled; and, where its page is open, the numbers of the
          two items and of what they seemed to make, each plus 1, over the count of items plus 1; else 0. With
          notation="symbols" or "text", `entry_bytes` numbers in place of these three: each symbol, from 1, over `alphabet`, or
          each byte plus 1, over 256; 0 behind the last. With symbols, then: the entry where the pen is, from 1, over the count
          of entries, and how full that is. (The marks above are left out.)
        * in the topologies "dynamic" and "chosen": for each companion, whether it is seen now.
        * with lives, the share of its life that is left; with teachers, whether anybody learns from it, and, unless they are
          the oldest (always the same ones, one after the other), for each companion whether it learns from that one now.
        * with hazards, the health that others just cost it, over `health`; then for each agent, itself first, its health over
          `health`; what harm it just did, as far as one is told: 1 force, 2/3 theft, 1/3 sabotage; and what good: 1
          publication, 1/2 gift.
        * with claims, for each place of the board whose page is open and where a claim stands: 1; its author's number, from 1,
          over the count of agents, or 0 where the author is dead; and how often it was confirmed, refuted and cited, n / (n +
          1) for n times; else five times 0.
        * the action mask: for each action but waiting (always allowed) and visiting, robbing and giving to oneself (never), 1
          where it would do something. `metarl_envs.boxes.envs.seat.action_mask` gives it for all actions.

    Actions:
        `Discrete(n)`, n being 173 in InventionBox, 287 in AmnesiaBox, 253 in GenerationsBox, 110 in HazardBox and 234 in
        SealedBox. 0 to M - 1, for M items: take this item into the empty hand; with something in the hand, combine the two,
        after which the hand is empty. M: wait. Then, as many as there are: write the last experiment into note k; empty note k;
        open page k of the notes (they close at dawn); write the last experiment on place k of the board (of several who do so
        in one step, one by lot); look at page k of the board; in the topology "chosen", visit agent k; with hazards, force item
        k together with what is in the hand, steal from agent k the best thing that one lacks, give agent k what is in the hand,
        publish it, spoil place k of the board; with claims, claim the last experiment at place k of the board, complete the
        experiment that is claimed there with what is in the hand (what comes of it is attached to the claim), retract one's own
        claim there, cite somebody else's. What is not allowed does nothing.

        With notation="symbols", in place of writing experiments, and after looking at the board: begin note k; begin at place k
        of the board; put symbol k where the pen is. With notation="text": write note k; write at place k of the board; and the
        action is an array, `MultiDiscrete`: its number, then `entry_bytes` bytes of the text, 0 behind the last.

    Parameters:
        preset: "full"; "short", for people (300 steps, about a quarter of an hour; in HazardBox 120; in AmnesiaBox five days,
        in GenerationsBox five lives, in SealedBox nine days of 40 steps); or "small", for learning (InventionBox with five
        levels and `crossover=3`; AmnesiaBox with 24 items, eight notes and 20 days of 30 steps; GenerationsBox with 32 items
        and ten lives of 30 steps; HazardBox with 18 items and three agents; SealedBox with 24 items, three agents, a board of
        eight and nine days). It sets what is not given beside it.

        agents: who is in the box, 1 to 256 (cost grows with the square of it where all see all). horizon: steps an episode, 1
        to 32767. companions: who sits in the other seats: "waiting", "random", "never_repeat", "greedy" (tries, of eight new
        pairs, the one whose parts are worth most), "oracle" (knows the recipes), "notes_fifo", "notes_best_path",
        "notes_unlimited" (see `metarl_envs.boxes.players.scripted`), in HazardBox also "clean", "prosocial", "toxic", "thief",
        "saboteur" (see `metarl_envs.boxes.players.hazardous`) or "mixed" (each is one of the first four of these, drawn in each
        episode), in SealedBox also "publisher", "replicator", "citer", "sceptic", "conformist" (see
        `metarl_envs.boxes.players.scientists`) or "mixed" (each is one of these five, drawn in each episode). Their memory is
        reset at each dawn, and at births of their own.

        The tree: lineages (1 to 16), levels (1 to 512), width (1 to 64): items a level and lineage. bases (2 to 64): items a
        lineage to begin with. recipes (1 to 8): pairs that make an item. crossover (0 to 512): every so many levels an
        ingredient is of another lineage; 0: never. dead_ends (below 1): share of a level that is ingredient of nothing.
        recency (0 to 1): the chance that the second ingredient is of the level just below; else it is looked for one lower, and
        so on. structure: "lookup" (recipes follow no rule) or "grammar" (a pair works only where a hidden permutation maps the
        hole of the one to the shape of the other). features (2 to 16): kinds of holes and shapes.

        The company: value_bias (0 to 100): what items of the first lineage pay, times their level. pays: "own": whoever makes
        what it did not hold; "first": whoever is the first in the box (of several in one step, one by lot); "mean": all get the
        mean of it. topology: who sees whom: "isolated", "ring", "full", "caveman", "dynamic" (in groups, with visits), "chosen"
        (by visiting). group (1 to 256): the size of groups. visit (0 to 1) and stay (1 to 32767): the chance a step to visit
        another group, and for how long, each where it applies: dynamic topology. fidelity (0 to 1): the chance to copy a new
        thing that one sees.

        Memory: day (0 to 32767): steps after which all is forgotten but what is written; 0: never. relabel: "dawn": each day
        everything has another word, in text and in pictures, and another key; "never": always the same. notes and board (0 to
        1024): entries of one's notebook and of the noticeboard. notation: what an entry is: "event", an experiment; "symbols",
        at most entry_bytes symbols of an alphabet of `alphabet`; or "text", at most entry_bytes bytes (see
        `metarl_envs.boxes.world.symbols` and `texts`). entry_bytes (1 to 4096): 6 of an experiment, always. alphabet (2 to
        256): of symbols. page (1 to 1024): entries a page.
        free_reading: pages are always open. illusions (0 to 1): the chance that a failed experiment seems to work.

        In GenerationsBox: lifespan (0 to 32767): steps after which an agent dies; 0: never. staggered: somebody dies every
        lifespan / agents steps, and not all at once. channel: "none", "demonstration" (newborns copy from teachers), "board"
        (the noticeboard) or "both". teacher: "all", "oldest", "most_successful" (who earned most in this life) or "random".
        apprenticeship (0 to 32767): for how many steps of its life an agent copies, one thing a step, each with chance
        `fidelity`. copy_error (0 to 1): the chance that a copy, a post or an inherited entry names a wrong thing of the same
        level. inherit: "nothing" or "notes".

        In HazardBox: health (0 to 1000): of everybody at first, and at most; 0: no hazards. p_clean and p_toxic (0 to 1): the
        chance that a right pair works when it is combined, and when it is forced, each times min(1, own health / (health / 2)).
        harm (0 to 1000): the health that one use of force costs all others. regeneration (0 to 1000): health that grows back a
        step. recover (0 to 32767): after so many steps whoever had no health left comes back; 0: never. visibility: who is told
        who did harm: "public" (all), "private" (those who were harmed) or "hidden" (nobody). sabotage: whether it will "erase"
        or "falsify" an entry of the board. harm_mask: whatever harms is forbidden.

        In SealedBox, beside what GenerationsBox has: selection: what pays: "consequentialist" (who truly makes a thing),
        "seems_right" (who claims that it made one, true or not, one time a thing until its memory is reset), "approval" (whose
        claim is cited, in equal shares for each other agent that does so), "mix" (citations with weight `mix`, and making with
        the rest) or "none" (there are no claims). mix (0 to 1): that weight. retention: what may be written over on the board:
        "free" (everything), or, once it is full, "oldest_out", "least_cited_out" or "least_confirmed_out" (that entry alone).
        corruption (0 to 1): the chance that an entry that has stood for a life names a wrong thing of the same level in one of
        its places.
    """

    box: ClassVar[type[Box]]
    reference_episodes = 20  # a life here is long, and lives on one tree are much alike
    curve_unit = "steps"
    words_tell_outcome = True
    state = seat_record
    reset, step = ByParameters(sitting_down), ByParameters(step_among)
    observe = ByParameters(see_from_seat_of)
    references = {"oracle": KnowsTheRecipes()}
    keys = staticmethod(keys_of_seat)

    @staticmethod
    def parameter_error(p: SimpleNamespace) -> str | None:
        """Companions who keep notes write experiments, and those who differ in manner live by a mechanism."""
        if p.agents > 1 and p.companions.startswith("notes_") and p.notation != "event":
            return f"companions={p.companions!r} write experiments: give notation='event', or companions='greedy'"
        company = company_in(p)
        if company and company.mechanism not in used_in(p):
            return f"companions={p.companions!r} live where there are {company.needs}, or companions='greedy'"
        return Box.parameter_error(p)

    @staticmethod
    def more_references(p: SimpleNamespace) -> dict[str, Oracle]:
        """The oracle whose actions hold text, where all do."""
        return {"oracle": KnowsTheRecipesAndWritesNothing()} if are_texts(p) else {}

    def __init_subclass__(cls, **kwargs: Any):
        """Wherever its name is shown (windows, errors, pictures) a seat is called like its box, as its id is."""
        super().__init_subclass__(**kwargs)
        if "box" in vars(cls):
            cls.__name__ = cls.box.__name__

    @staticmethod
    def spaces(p: SimpleNamespace) -> tuple[spaces.Space, spaces.Space]:
        """What agent 0 sees and its action mask, in one row."""
        return spaces.Box(0.0, 1.0, (len(kept(p)),), np.float32), acts_of_one(p, verbs_of(p).end)

    @staticmethod
    def curve_unit_length(p: SimpleNamespace) -> int:
        """A day, or a life; where there are none, or the last is cut short, at most 20 blocks of steps, all of one length."""
        if p.day and p.horizon % p.day == 0:
            return p.day
        if has_lives(p) and p.horizon % p.lifespan == 0:
            return p.lifespan
        return next(length for length in range(-(-p.horizon // 20), p.horizon + 1) if p.horizon % length == 0)

    @staticmethod
    def memory_reset_at(p: SimpleNamespace) -> int | None:
        """The place of `forgot`; None where there are neither days nor lives."""
        forgot = senses_of(p) + SENSES.index("forgot")
        return int(np.searchsorted(kept(p), forgot)) if p.day or has_lives(p) else None

    @classmethod
    def words_in(cls, p: SimpleNamespace, state: np.void, task: np.ndarray, seen: np.ndarray) -> str:
        """What agent 0 is told, in words."""
        from metarl_envs.boxes.view.picture import seat_in_words

        return seat_in_words(p, Row(state["box"]), Row(task))

    @classmethod
    def sentences_in(cls, p: SimpleNamespace, state: np.void) -> Sentences:
        """The sentences of agent 0."""
        return sentences_of_agent(p, state["box"], 0)

    @staticmethod
    def click_action(p: SimpleNamespace, state: Row, x: float, y: float) -> int | None:
        """The action that a click asks for."""
        from metarl_envs.boxes.view.seat_picture import SeatView

        return SeatView(p, state.box).clicked(x, y)

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """What agent 0 has and may read; nothing that it forgot."""
        from metarl_envs.boxes.view.seat_picture import draw_seat

        draw_seat(picture, p, state.box, task)

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """What agent 0 knows, in words."""
        from metarl_envs.boxes.view.picture import describe_seat

        return describe_seat(p, state.box, task)
