"""Days: at dawn everybody forgets all but what is written, and its things are back to the bases. The recipes stay.

With `relabel="dawn"` everything has another word each day, and no word comes back (see `view.words.words_in`): whoever
remembers yesterday in secret, a person or a language model, has no use of it but through what is written, which is told in
today's words. Numbers of items, which arrays show, stay.
"""

from __future__ import annotations

from types import SimpleNamespace

from metarl_envs.boxes.world.mechanism import Mechanism, Numbers
from metarl_envs.boxes.world.tree import items_of
from metarl_envs.engine import Choice, Integer, kernel

#: How many words there are for all items on all days.
MOST_WORDS = 60_000


@kernel
def wake_at_dawn(params, task, state, rng):
    """After each `day` steps a new day begins for everybody."""
    if params.day > 0 and state.t % max(params.day, 1) == 0:
        for i in range(params.agents):
            state.forgot[i] = 1


@kernel
def one_number(params):
    """What is left of the day."""
    return 1


@kernel
def show_day(params, state, i, view, plane, at):
    """The share of the day that is left."""
    view[at] = 1.0 - state.t % params.day / params.day if params.day > 0 else 0.0


def days_in(p: SimpleNamespace) -> int:
    """How many days there are, the last of which may be shorter."""
    return -(-p.horizon // p.day) if p.day else 1


def _relabel_error(p: SimpleNamespace) -> str | None:
    """Why there cannot be other words each day."""
    if p.relabel == "never":
        return None
    if not p.day:
        return "relabel='dawn' needs days: give day=60 or so, or relabel='never'"
    if (needed := items_of(p) * days_in(p)) > MOST_WORDS:
        return f"relabel='dawn' needs {needed} words, one an item and day, and there are {MOST_WORDS}: give fewer of either"
    return None


def rules_of_days(p: SimpleNamespace) -> str:
    """That all is forgotten each day, and how little things are called the same."""
    if not p.day:
        return ""
    text = f"Every {p.day} steps all is forgotten but what is written."
    return text + (" Each day all things have other names, in the notes too." if p.relabel == "dawn" else "")


DAYS = Mechanism(
    parameters={"day": Integer(0, 0, 32767), "relabel": Choice("never", ("never", "dawn"))},
    error=_relabel_error,
    after_step=wake_at_dawn,
    seen=Numbers(one_number, show_day),
    rules=rules_of_days,
)
