"""Lives: agents die of age, others are born in their places, and what passes from life to life is set.

An agent lives `lifespan` steps; then another is born in its slot, who holds the bases and remembers nothing. Ages are
staggered, so that somebody dies about every lifespan / agents steps. What the dead knew lasts only through one of these:

* demonstration: in each of the first `apprenticeship` steps of its life an agent copies, with chance `fidelity`, one thing
  that its teacher has and it lacks, drawn by lot;
* the noticeboard, which stays;
* the notebook, where it is inherited.

Each copy goes wrong with chance `copy_error`: it names another item of the same level. Such a thing only looks real, like one
from an experiment that only seemed to work; such an entry is false.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.boxes.world.core import ABSENT, APPRENTICE, ILLUSORY, INHERITING, MISCOPY, REAL, TEACHER
from metarl_envs.boxes.world.mechanism import Mechanism, Numbers
from metarl_envs.boxes.world.notes import MADE, WHEN, A, B, wipe
from metarl_envs.boxes.world.topology import TOPOLOGY
from metarl_envs.boxes.world.tree import NOTHING, first_of, items_in, level_of, size_of
from metarl_envs.engine import Choice, Flag, Integer, Real, kernel, randint, uniform
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.streams import keyed

#: `channel`, `teacher` and `inherit`, in the order of their numbers.
CHANNELS = ("none", "demonstration", "board", "both")
NO_CHANNEL, DEMONSTRATION, BOARD, BOTH = range(4)
TEACHERS = ("all", "oldest", "most_successful", "random")
ALL, OLDEST, MOST_SUCCESSFUL, RANDOM = range(4)
NOTHING_INHERITED, NOTES_INHERITED = range(2)


def life_fields(p: SimpleNamespace) -> dict[str, Any]:
    """Who lives in each slot, since when, and from whom it learns."""
    n = p.agents
    return {
        "born": (np.int32, n),  # the step after which it began to live; below 0: before the box was opened
        "life": (np.int32, n),  # how many lived in the slot before
        "earned": (np.float64, n),  # rewards of this life
        "teacher": (np.int16, n),
        "copied": (np.int16, n),  # what it got from a teacher in this step
        "copied_as": (np.uint8, n),  # whether that is real, or only looks so
    }


# ------------------------------------------------------------------------------------------------- who learns from whom
@kernel
def age_of(state, i):
    """How many steps agent i has lived."""
    return state.t - state.born[i]


@kernel
def is_demonstrated(params):
    """Whether teachers are copied in this box."""
    return params.lifespan > 0 and (params.channel == DEMONSTRATION or params.channel == BOTH)


@kernel
def is_apprentice(params, state, i):
    """Whether agent i is young enough to learn from a teacher."""
    return is_demonstrated(params) and age_of(state, i) < params.apprenticeship


@kernel
def learns_from(params, state, i, j):
    """Whether agent i learns from agent j now."""
    return i != j and is_apprentice(params, state, i) and (params.teacher == ALL or state.teacher[i] == j)


@kernel
def choose_teacher(params, state, i):
    """Agent i chooses whoever is the best by `teacher`; of several alike one is drawn. Nobody is chosen who is born now too."""
    best = NOTHING
    for j in range(params.agents):
        if j != i and age_of(state, j) > 0 and (best == NOTHING or is_better(params, state, i, j, best)):
            best = j
    state.teacher[i] = best


@kernel
def is_better(params, state, i, j, other):
    """Whether agent i would rather have agent j for a teacher than another."""
    merit, merit_of_other = merit_of(params, state, j), merit_of(params, state, other)
    if merit != merit_of_other:
        return merit > merit_of_other
    n = params.agents
    return keyed(state.noise, TEACHER, state.t, i * n + j) < keyed(state.noise, TEACHER, state.t, i * n + other)


@kernel
def merit_of(params, state, j):
    """What teachers are chosen by: age, what it earned in this life, or nothing."""
    if params.teacher == OLDEST:
        return 1.0 * age_of(state, j)
    return state.earned[j] if params.teacher == MOST_SUCCESSFUL else 0.0


def has_lives(p: SimpleNamespace) -> bool:
    """Whether agents die in a box with parameters `p`."""
    return getattr(p, "lifespan", 0) > 0


def life_count(p: SimpleNamespace, i: int) -> int:
    """How many lives there are in slot `i` of a box until it is over; one that would begin in its last moment is none."""
    return 1 + (p.horizon - 1 - plain(first_born)(p, i)) // p.lifespan


# ------------------------------------------------------------------------------------------------- copying
@kernel
def learn_from_teachers(params, task, state, rng):
    """Each apprentice copies one thing, all at once: what teachers copy in this step can be learned in the next."""
    for i in range(params.agents):
        state.earned[i] += state.reward[i]
        state.copied[i] = NOTHING
        if is_apprentice(params, state, i):
            rng.s = keyed(state.noise, APPRENTICE, state.t, i)
            if uniform(rng) < params.fidelity:
                choose_thing(params, state, i, rng)
    for i in range(params.agents):
        item = state.copied[i]
        if item != NOTHING and (state.held[i, item] == ABSENT or state.copied_as[i] == REAL):
            state.held[i, item] = state.copied_as[i]
            state.gained[i] += 1
        else:
            state.copied[i] = NOTHING
    miscopy_posts(params, state, rng)


@kernel
def choose_thing(params, state, i, rng):
    """Choose one of the things that agent i could copy now, all alike; by mistake, what looks like another of its level."""
    count = 0
    for item in range(items_in(params)):
        count += offered(params, state, i, item) != ABSENT
    if count == 0:
        return
    n, item = randint(rng, count), NOTHING
    while n >= 0:
        item += 1
        n -= offered(params, state, i, item) != ABSENT
    state.copied[i] = item
    state.copied_as[i] = offered(params, state, i, item)
    rng.s = keyed(state.noise, MISCOPY, state.t, i)
    if uniform(rng) < params.copy_error:
        state.copied[i] = another_of_its_level(params, item, NOTHING, rng)
        state.copied_as[i] = ILLUSORY


@kernel
def offered(params, state, i, item):
    """As what agent i could have an item from its teachers now: REAL, ILLUSORY; ABSENT where it wants or they have none."""
    if params.teacher != ALL:
        return ABSENT if state.teacher[i] == NOTHING else offered_by(state, state.teacher[i], i, item)
    best = ABSENT
    for j in range(params.agents):
        if j != i and best != REAL:
            one = offered_by(state, j, i, item)
            best = one if one != ABSENT else best
    return best


@kernel
def offered_by(state, j, i, item):
    """As what agent i could have an item from agent j; what only looks real it takes for real, and wants no second of it."""
    held, offer = state.held[i, item], state.held[j, item]
    return offer if held == ABSENT or (held == ILLUSORY and offer == REAL) else ABSENT


@kernel
def another_of_its_level(params, item, but, rng):
    """Another item of the same level, of any lineage, all alike, but not `but`; the item itself where there is no other."""
    level = level_of(params, item)
    first, size = first_of(params, level, 0), params.lineages * size_of(params, level)
    if size == 1:
        return item
    other = first + (item - first + 1 + randint(rng, size - 1)) % size
    if other == but:
        other = first + (other - first + 1) % size
    return other


@kernel
def miscopy_posts(params, state, rng):
    """What was posted in this step may name something wrong."""
    for k in range(params.board):
        if params.copy_error > 0.0 and state.board[k, WHEN] == state.t:
            rng.s = keyed(state.noise, MISCOPY, state.t, params.agents + k)
            miscopy(params, state.board, k, rng)


@kernel
def miscopy(params, entries, k, rng):
    """With chance `copy_error` a copied entry names something wrong."""
    if uniform(rng) < params.copy_error:
        corrupt(params, entries, k, rng)


@kernel
def corrupt(params, entries, k, rng):
    """Corrupt an entry: let it name another item of the same level in one place of it, by lot."""
    which = randint(rng, 2 if entries[k, MADE] == NOTHING else 3)
    partner = entries[k, B] if which == A else entries[k, A] if which == B else NOTHING  # not combined with itself
    entries[k, which] = another_of_its_level(params, entries[k, which], partner, rng)


# ------------------------------------------------------------------------------------------------- hooks
@kernel
def first_born(params, i):
    """When the first life in slot i began: where ages are staggered, before the box was opened, but for slot 0."""
    return -(i * params.lifespan // params.agents) if params.staggered != 0 else 0


@kernel
def open_lives(params, task, state, rng):
    """The first lives begin with nothing, as all do; where ages are staggered they are shorter, but for that of agent 0."""
    for i in range(params.agents):
        state.born[i] = first_born(params, i)
        state.life[i] = 0
        state.earned[i] = 0.0
        state.copied[i] = NOTHING
        state.copied_as[i] = ABSENT
    for i in range(params.agents):
        choose_teacher(params, state, i)


@kernel
def grow_old(params, task, state, rng):
    """Whoever has lived `lifespan` steps dies, and another is born; the newborn, and whose teacher died, choose a teacher."""
    if params.lifespan == 0:
        return
    for i in range(params.agents):
        if age_of(state, i) >= params.lifespan:
            state.born[i] = state.t
            state.life[i] += 1
            state.earned[i] = 0.0
            state.forgot[i] = 1
    for i in range(params.agents):
        if age_of(state, i) == 0 or (state.teacher[i] != NOTHING and age_of(state, state.teacher[i]) == 0):
            choose_teacher(params, state, i)


@kernel
def hand_down(params, state, i, rng):
    """The newborn agent i finds a copy of the notebook of the dead, if it inherits it; else an empty one."""
    state.copied[i] = NOTHING
    rng.s = keyed(state.noise, INHERITING, state.t, i)
    for k in range(params.notes):
        if params.inherit == NOTHING_INHERITED:
            wipe(state.notes[i], k)
        elif state.notes[i, k, WHEN] >= 0:
            miscopy(params, state.notes[i], k, rng)


# ------------------------------------------------------------------------------------------------- what is seen
@kernel
def life_numbers(params):
    """What is left of its life, whether anybody learns from it, and from whom it learns."""
    return 2 + params.agents


@kernel
def show_life(params, state, i, view, plane, at):
    """Write what agent i sees of its life, of apprentices, and of teachers."""
    view[at] = 1.0 - age_of(state, i) / params.lifespan if params.lifespan > 0 else 0.0
    view[at + 1] = 0.0
    for j in range(params.agents):
        if learns_from(params, state, j, i):
            view[at + 1] = 1.0
        view[at + 2 + j] = 1.0 if learns_from(params, state, i, j) else 0.0


@kernel
def copied_item(params, state, i):
    """What agent i got from a teacher in this step."""
    return state.copied[i]


def _lives_error(p: SimpleNamespace) -> str | None:
    """Why lives do not go together with the rest."""
    if p.lifespan == 0:
        return None
    demonstrated, posted = p.channel in ("demonstration", "both"), p.channel in ("board", "both")
    if demonstrated and p.agents < 2:
        return f"channel={p.channel!r} needs somebody to learn from: give agents=2 or more, or channel='none'"
    if demonstrated and not 0 < p.apprenticeship <= p.lifespan:
        return f"apprenticeship={p.apprenticeship} must be from 1 to lifespan={p.lifespan} with channel={p.channel!r}"
    if posted != (p.board > 0):
        what = "a board: give board=8 or so" if posted else "no board: give board=0, or channel='board' or 'both'"
        return f"channel={p.channel!r} and board={p.board} contradict each other: with this channel there is {what}"
    if p.inherit == "notes" and p.notes == 0:
        return "inherit='notes' needs a notebook to inherit: give notes=8 or so, or inherit='nothing'"
    return None


def teachers_of(p: SimpleNamespace, state: Any, agent: int) -> list[int]:
    """From whom an agent learns now; nobody where there are no lives."""
    if not has_lives(p):
        return []
    params = SimpleNamespace(**{**vars(p), "channel": CHANNELS.index(p.channel), "teacher": TEACHERS.index(p.teacher)})
    return [j for j in range(p.agents) if plain(learns_from)(params, state, agent, j)]


def rules_of_lives(p: SimpleNamespace) -> str:
    """That agents die, what stays, and how the newborn learn."""
    if not has_lives(p):
        return ""
    text = f"After {p.lifespan} steps you die, and another begins in your place with nothing"
    text += ", but that what is written stays." if p.board or p.inherit == "notes" else "."
    if p.channel in ("demonstration", "both"):
        text += f" In the first {p.apprenticeship} steps of a life you copy what a teacher has."
    return text


def told_of_life(p: SimpleNamespace, state: Any, agent: int) -> list[str]:
    """How long an agent has to live, from whom it learns, and whether anybody learns from it."""
    if not has_lives(p):
        return []
    line = f"You have {p.lifespan - int(state.t - state.born[agent])} of {p.lifespan} steps to live."
    if teachers := teachers_of(p, state, agent):
        line += f" You learn from {', '.join(f'agent_{j}' for j in teachers)}."
    if any(agent in teachers_of(p, state, j) for j in range(p.agents)):
        line += " Somebody learns from you."
    return [line]


LIVES = Mechanism(
    parameters={
        "lifespan": Integer(0, 0, 32767),
        "staggered": Flag(True),
        "channel": Choice("none", CHANNELS),
        "teacher": Choice("oldest", TEACHERS),
        "apprenticeship": Integer(20, 0, 32767),
        "fidelity": TOPOLOGY.parameters["fidelity"],
        "copy_error": Real(0.0, 0.0, 1.0),
        "inherit": Choice("nothing", ("nothing", "notes")),
    },
    fields=life_fields,
    error=_lives_error,
    open=open_lives,
    share=learn_from_teachers,
    after_step=grow_old,
    birth=hand_down,
    seen=Numbers(life_numbers, show_life, changed=copied_item),
    rules=rules_of_lives,
    told=told_of_life,
)
