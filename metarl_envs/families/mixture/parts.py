"""The parts of a mixture: which families they are, at which parameters, and what they have in common."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np

from metarl_envs.engine import Variant, bounds_of
from metarl_envs.engine.composing import family_at
from metarl_envs.ids import family_of, short

_BANDITS = ("BernoulliBandit(arms=5)", "GapBandit(arms=5)", "GaussianBandit(arms=5)", "TwoStep(change=0.1)")
#: A corridor is as long as an episode has time for.
_GRIDS = ("DarkRoom(size=5)", "DarkRoomPermuted(size=5)", "GridNavi", "TMaze(length={corridor})", "DarkKeyToDoor(size=5)")
#: Sets of parts. Their last one is what they hold out where nobody says otherwise.
SETS = {
    "small": (
        "BernoulliBandit(arms=5)",
        "DarkRoom(size=5)",
        "TabularMDP(states=5, actions=5)",
        "TwoStep(change=0.1)",
        "GridNavi",
        "TMaze(length={corridor})",
        "DarkKeyToDoor(size=5)",
    ),
    "grids": _GRIDS,
    "bandits": _BANDITS,
    "all": (*_BANDITS, "TabularMDP(states=5, actions=5)", *_GRIDS),
}
#: What `held_out` is where no part is.
NOBODY = "none"


@dataclass(frozen=True)
class Parts:
    """The parts of a mixture, by name, and the sizes of its space.

    Attributes:
        variants: each part's name, and its family with its parameters set.
        held_out: numbers of the parts that are drawn with the shift `unseen_parts` alone.
        actions: as many as the part has that has the most.
        length: numbers in the longest observation.
    """

    variants: tuple[tuple[str, Variant], ...]
    held_out: tuple[int, ...]
    actions: int
    length: int

    @functools.cached_property
    def by_name(self) -> Mapping[str, Variant]:
        """The parts by name, in order."""
        return dict(self.variants)

    @functools.cached_property
    def sights(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Of each part the lowest number at each place of its observation, and what brings it into [0, 1], float64."""
        return tuple(_scale_of(*bounds_of(part.observation_space)) for part in self.by_name.values())

    def at(self, which: int) -> tuple[str, Variant]:
        """Return the name of a part, and the part."""
        return self.variants[which]


def _scale_of(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return low, np.where(high > low, 1.0 / np.maximum(high - low, 1e-300), 1.0)


# ------------------------------------------------------------------------------------------------- what is written
def read_parts(name: str, value: Any) -> str:
    """Return parts in one form: the name of a set, or terms such as `DarkRoom(size=5), TMaze`."""
    if isinstance(value, str) and value in SETS:
        return value
    return ", ".join(_written(called, given) for called, given in _terms(name, value))


def read_names(name: str, value: Any) -> str:
    """Return names in one form: `DarkRoom, TMaze`."""
    return ", ".join(_pieces(name, value))


def _written(called: str, given: Mapping[str, Any]) -> str:
    told = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return f"{called}({told})" if told else called


def _pieces(name: str, value: Any) -> list[str]:
    """What stands between commas, brackets aside; or the elements of a list."""
    if isinstance(value, str):
        value = [piece.strip() for piece in re.split(r",(?![^(]*\))", value)]
    if not isinstance(value, list | tuple) or not all(isinstance(piece, str) for piece in value):
        raise TypeError(f"{name}={value!r} must be a text, or a list of texts")
    if not all(value) or not value:
        raise ValueError(f"{name}={value!r} names nothing in one of its places")
    return list(value)


def _terms(name: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
    """The family and the parameters that each term names."""
    terms = []
    for piece in _pieces(name, value):
        called, bracket, rest = piece.partition("(")
        given = _arguments(f"_({rest}") if bracket else {}
        if given is None:
            raise ValueError(
                f"{name}={piece!r} must be an id with parameters, such as 'DarkRoom(size=5)'; or one of the sets "
                f"{', '.join(map(repr, SETS))}"
            )
        terms.append((short(called.strip()), given))
    return terms


def _arguments(call: str) -> dict[str, Any] | None:
    """The named arguments of a call, which must be constants; None where it is no such call. Nothing is run."""
    try:
        read = ast.parse(call, mode="eval").body
        if isinstance(read, ast.Call) and not read.args:
            return {str(word.arg): ast.literal_eval(word.value) for word in read.keywords}
    except (SyntaxError, ValueError):
        pass
    return None


# ------------------------------------------------------------------------------------------------- what is meant
@functools.lru_cache(maxsize=64)
def parts_of(parts: str, horizon: int, held_out: str) -> Parts:
    """Return the parts that these parameters name.

    Raises:
        ValueError: there is no such family; it cannot be a part; two parts are alike; or a name in `held_out` is no part's.
    """
    told = ", ".join(SETS[parts]).format(corridor=max(1, horizon - 1)) if parts in SETS else parts
    found: dict[str, Variant] = {}
    for called, given in _terms("parts", told):
        part = _part(called, given, horizon)
        if part in found.values():
            raise ValueError(f"parts={parts!r} has {part} twice")
        name, again = part.name, 2
        while name in found:
            name, again = f"{part.name}_{again}", again + 1
        found[name] = part
    names = [] if held_out == NOBODY else _pieces("held_out", held_out)
    if unknown := [name for name in names if name not in found]:
        raise ValueError(f"held_out={held_out!r}: {unknown[0]!r} is none of the parts, which are {', '.join(found)}")
    if len(set(names)) == len(found):
        raise ValueError(f"held_out={held_out!r} leaves no part to be drawn")
    return Parts(
        variants=tuple(found.items()),
        held_out=tuple(number for number, name in enumerate(found) if name in names),
        actions=max(part.actions for part in found.values()),
        length=max(len(bounds_of(part.observation_space)[0]) for part in found.values()),
    )


def parts_at(p: SimpleNamespace) -> Parts:
    """Return the parts of a mixture with parameters `p`; ValueError where they cannot be its parts."""
    return parts_of(p.parts, p.horizon, p.held_out)


def _part(called: str, given: dict[str, Any], horizon: int) -> Variant:
    """A family as a part; ValueError where it cannot be one."""
    module = called.rpartition(":")[0]
    if module and module not in sys.modules:  # what a file says is no reason to run a module
        raise ValueError(f"parts: {called!r} is in the module {module!r}, which is not imported: import it first")
    family = family_at(family_of(called))
    if "horizon" in given:
        raise ValueError(f"parts: {called} sets horizon={given['horizon']!r}; all parts have that of the mixture")
    part = family.with_params(**given, horizon=horizon)
    if problem := _why_no_part(part):
        raise ValueError(f"parts: {part} cannot be one: it {problem}")
    return part


def _why_no_part(part: Variant) -> str | None:
    """Why a family cannot be a part of a mixture, or None where it can."""
    if not isinstance(part.action_space, gym.spaces.Discrete):
        return f"has actions of {part.action_space}, not Discrete ones"
    if part.family.task_hash is not None:
        return "says by a kernel of its own (`task_hash`) which tasks are alike, which a mixture would not follow"
    if part.family.state_index_in_task is not None:
        return "numbers its observations by the task (`state_index_in_task`), as a mixture does of its parts"
    if part.memory_reset_at is not None or part.family.seats(part.p) != 1:
        return "has agents whose memory is reset, or several of them"
    try:
        bounds_of(part.observation_space)
    except ValueError as problem:
        return str(problem)
    return None


def default_held_out(parts: str) -> str:
    """Return the part that is held out where nobody says which: the last of a set, and none of parts of one's own."""
    return SETS[parts][-1].partition("(")[0] if parts in SETS else NOBODY
