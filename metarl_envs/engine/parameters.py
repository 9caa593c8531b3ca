"""Constructor parameters of families and learners: JSON-typed, with a default, a range, and a clear refusal."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.arguments import did_you_mean
from metarl_envs.engine.records import for_drivers, record

#: Names of arguments beside which parameters are given: a parameter of such a name could not be reached.
RESERVED = frozenset(
    {
        "autoreset_mode",
        "box",
        "boxes",
        "concurrency",
        "dense_final_obs",
        "disable_env_checker",
        "episodes",
        "episodes_per_trial",
        "executor",
        "family",
        "flat",
        "ground_truth",
        "histories",
        "id",
        "index",
        "internals",
        "labels",
        "learner",
        "least_spread",
        "lenient",
        "lifetimes",
        "lives",
        "max_cycles",
        "max_episode_steps",
        "num_boxes",
        "num_envs",
        "num_tasks",
        "num_threads",
        "observed",
        "out",
        "player",
        "policies",
        "progress",
        "render_mode",
        "resume",
        "retries",
        "reuse_arrays",
        "reveal",
        "seats",
        "seed",
        "seeds",
        "shard",
        "since",
        "social",
        "split",
        "steps",
        "tasks",
        "trial_end",
        "turnover",
        "vector_kwargs",
        "vectorization_mode",
        "watch",
        "workers",
        "wrappers",
    }
)


@dataclass(frozen=True)
class Integer:
    """A whole number from `low` to `high`. Its default may be computed from the parameters that are declared before it."""

    default: int | Callable[[SimpleNamespace], int]
    low: int
    high: int = 2**31 - 1
    dtype = np.int64

    def check(self, name: str, value: Any) -> int:
        """Return the value as an int; ValueError or TypeError if it is none, or out of range."""
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(f"{name}={value!r} must be an integer {self.allowed()}")
        if not self.low <= int(value) <= self.high:
            raise ValueError(f"{name}={value!r} is out of range: it must be an integer {self.allowed()}")
        return int(value)

    def allowed(self) -> str:
        """Return the range in words."""
        return f"from {self.low} to {self.high}" if self.high < 2**31 - 1 else f"of at least {self.low}"


@dataclass(frozen=True)
class Real:
    """A finite number from `low` to `high`."""

    default: float
    low: float = -math.inf
    high: float = math.inf
    dtype = np.float64

    def check(self, name: str, value: Any) -> float:
        """Return the value as a float; ValueError or TypeError if it is none, not finite, or out of range."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{name}={value!r} must be a number {self.allowed()}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not (math.isfinite(number) and self.low <= number <= self.high):
            raise ValueError(f"{name}={value!r} is out of range: it must be a finite number {self.allowed()}")
        return number

    def allowed(self) -> str:
        """Return the range in words."""
        return f"from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Flag:
    """True or False; kernels see 1 or 0."""

    default: bool
    dtype = np.int64

    def check(self, name: str, value: Any) -> bool:
        """Return the value as a bool; TypeError if it is none (0 and 1 are)."""
        if not isinstance(value, bool | np.bool_ | numbers.Real) or value not in (0, 1):
            raise TypeError(f"{name}={value!r} must be {self.allowed()}")
        return bool(value)

    def allowed(self) -> str:
        """Return the range in words."""
        return "True or False"


@dataclass(frozen=True)
class Choice:
    """One of several names; kernels see its place in the list."""

    default: str
    names: tuple[str, ...]
    dtype = np.int64

    def check(self, name: str, value: Any) -> str:
        """Return the value as a str; ValueError if it is not one of the names."""
        if not isinstance(value, str) or value not in self.names:
            raise ValueError(f"{name}={value!r} must be {self.allowed()}")
        return str(value)

    def allowed(self) -> str:
        """Return the range in words."""
        return f"one of {', '.join(map(repr, self.names))}"


@dataclass(frozen=True)
class Preset(Choice):
    """A name for the values of several parameters, which hold where they are not given otherwise.

    `sets` has them by name; the default is a name that sets nothing.
    """

    sets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, **sets: Mapping[str, Any]) -> Preset:
        """Return a preset for these names; without one of them it is "full", and nothing is set."""
        return cls("full", ("full", *sets), sets)


@dataclass(frozen=True)
class Text:
    """A text that a family reads itself: kernels do not see it, only what the family makes of it.

    Attributes:
        default: the text, or a function from the parameters that are declared before it.
        read: `read(name, value)` returns the text in the one form that it has in files; TypeError or ValueError if it is none.
        may_be: what it may be, in words.
    """

    default: str | Callable[[SimpleNamespace], str]
    read: Callable[[str, Any], str]
    may_be: str

    def check(self, name: str, value: Any) -> str:
        """Return the text; TypeError or ValueError if it is none that can be read."""
        return self.read(name, value)

    def allowed(self) -> str:
        """Return what it may be, in words."""
        return self.may_be


Parameter = Integer | Real | Flag | Choice | Text


class Parameters:
    """The parameters of one family or learner.

    >>> Parameters(size=Integer(9, 2, 99), once=Flag(False)).resolve({"size": 5})
    {'size': 5, 'once': False}
    """

    def __init__(self, **parameters: Parameter):
        self.parameters = parameters
        for _, preset in self._presets():
            for called, sets in preset.sets.items():
                if unknown := sorted(set(sets) - set(parameters)):
                    raise ValueError(f"preset {called!r} sets {unknown[0]!r}, which is no parameter")
                for name, value in sets.items():
                    parameters[name].check(name, value)
        self.dtype = record(**self.fields)

    @property
    def fields(self) -> dict[str, Any]:
        """The dtype of each parameter that kernels see."""
        return {name: parameter.dtype for name, parameter in self.parameters.items() if not isinstance(parameter, Text)}

    def with_defaults(self, **defaults: Any) -> Parameters:
        """Return the same parameters with other defaults: how a variant is declared."""
        changed = dict(self.parameters)
        for name, value in defaults.items():
            changed[name] = replace(changed[name], default=changed[name].check(name, value))
        return Parameters(**changed)

    def resolve(self, given: dict[str, Any], owner: str = "this") -> dict[str, Any]:
        """Return every parameter by name, checked; TypeError for a name that does not exist."""
        unknown = sorted(set(given) - set(self.parameters))
        if unknown:
            known = ", ".join(f"{name} ({p.allowed()})" for name, p in self.parameters.items())
            # in Python's own words, by which libraries that try an argument out know that it is not there
            raise TypeError(
                f"{owner} got an unexpected keyword argument {unknown[0]!r}; it takes: {known or 'none'}"
                f"{did_you_mean(unknown[0], self.parameters)}"
            )
        given = self.expanded(given)
        values: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            default = parameter.default
            value = given.get(name, default(SimpleNamespace(**values)) if callable(default) else default)
            values[name] = parameter.check(name, value)
        return values

    def expanded(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is given, and what its presets set beside it."""
        for name, preset in self._presets():
            chosen = preset.check(name, given.get(name, preset.default))
            given = {**preset.sets.get(chosen, {}), **given}
        return dict(given)

    def _presets(self) -> list[tuple[str, Preset]]:
        return [(name, parameter) for name, parameter in self.parameters.items() if isinstance(parameter, Preset)]

    def row(self, values: dict[str, Any]) -> np.ndarray:
        """One row holding resolved values, as kernels see them."""
        row = np.zeros(1, self.dtype)
        for name, value in values.items():
            parameter = self.parameters[name]
            if not isinstance(parameter, Text):
                row[name] = parameter.names.index(value) if isinstance(parameter, Choice) else value
        return for_drivers(row)
