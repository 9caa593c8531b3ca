"""Families made of families: rows with a field for each part, kernels that lead to a part's own, and the spec that names them.

A composed family is found again by its spec, which is JSON: the path of a subclass of `Composed`, and of each part its family
and parameters. Only the kernels of its own parts are compiled for it. A part's rows are fields of the whole's: `state["room"]`.

Kernels are put together as a chain of inlined functions, each of which closes over one part and hands on what is not its own.
That compiles faster than one function with a branch for each, and runs at the speed of the parts.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from metarl_envs.engine.compiling.kernels import glue, kernel
from metarl_envs.engine.family import Family, Variant, load_family
from metarl_envs.engine.parameters import Parameter, Parameters
from metarl_envs.engine.records import for_drivers, record

#: A family as JSON has it: the path of its class, or `{"family": path, "parts": {name: {"family": spec, "params": {...}}}}`.
Spec = str | Mapping[str, Any]

#: The arguments of each kernel that can be led to a part.
_ARGUMENTS = {
    "sample_task": ("params", "task", "rng"),
    "reset": ("params", "task", "state", "rng"),
    "step": ("params", "task", "state", "action", "rng"),
    "observe": ("params", "task", "state", "obs"),
    "in_every_part": ("params", "task"),
}
#: Arguments that hold a row of the whole: a part is handed its own row in it.
ROWS = {"params", "task", "state", "hyper", "memory"}
#: The kernels of several parts give numbers of several types, which must be one type in the whole.
_GIVEN_BACK = {"step": "paid, done = {call}\n        return float(paid), bool(done)"}


class _ComposedType(type):
    """The type of composed families, which are pickled by their spec: no module has them under a name."""


class Composed(Family, metaclass=_ComposedType):
    """A family that is made of others. A subclass says how, in `bindings`; `of` makes it of the parts that it is given."""

    #: The parts of a family that was made by `of`, by name.
    parts: ClassVar[Mapping[str, Variant]] = {}

    @classmethod
    def bindings(cls, parts: Mapping[str, Variant]) -> dict[str, Any]:
        """Return what the class made of these parts binds: records and kernels; ValueError where they do not go together."""
        raise NotImplementedError(f"{cls.__name__} must say how it is made of parts: write its class method bindings(parts)")

    @classmethod
    def of(cls, parts: Mapping[str, Variant]) -> type[Composed]:
        """Return the family made of these parts: of equal parts in equal order the same one, in one process.

        Raises:
            ValueError: there is no part, a name is no identifier, or parts do not go together.
        """
        if odd := [name for name in parts if not (isinstance(name, str) and name.isidentifier())]:
            raise ValueError(f"parts has the name {odd[0]!r}: a part is a field of rows, so its name must be an identifier")
        if not parts:
            raise ValueError(f"parts is empty: {cls.__name__} is made of at least one")
        key = cls, *parts.items()  # and not their names, by which a class that is defined anew has what the old one was made of
        if key not in _made:
            own = {"parts": dict(parts), "__module__": cls.__module__, "__doc__": cls.__doc__, **cls.bindings(parts)}
            _made[key] = type(cls)(cls.__name__, (cls,), own)
        return _made[key]


#: Families that were made, by their class and parts.
_made: dict[tuple, type[Composed]] = {}


# ------------------------------------------------------------------------------------------------- specs
def spec_of(family: type[Family]) -> Spec:
    """Return what names a family in files and registries: "module:Class", or JSON that names the parts of a composed one."""
    if issubclass(family, Composed) and family.parts:
        return _spec(family.__mro__[1], family.parts)
    return f"{family.__module__}:{family.__qualname__}"


def _spec(family: type[Family], parts: Mapping[str, Variant]) -> Spec:
    told = {name: {"family": spec_of(part.family), "params": part.values} for name, part in parts.items()}
    return {"family": f"{family.__module__}:{family.__qualname__}", "parts": told}


def family_at(spec: Spec) -> type[Family]:
    """Return the family that a spec names (see `spec_of`).

    What it names is imported, so whoever reads a spec out of a file looks at `paths_in` first.

    Raises:
        ImportError: there is no such module.
        TypeError, ValueError: it is no spec, or names what is no family, or parameters that a part has not.
    """
    if isinstance(spec, str):
        return load_family(spec)
    base = load_family(_checked(spec)["family"])
    if not issubclass(base, Composed):
        raise ValueError(f"family={spec['family']!r} has parts {', '.join(spec['parts'])}, and is not made of parts")
    return base.of({name: family_at(part["family"]).with_params(**part["params"]) for name, part in spec["parts"].items()})


def paths_in(spec: Any) -> Iterator[str]:
    """Yield every path that a spec names; ValueError where it is no spec."""
    if isinstance(spec, str):
        yield spec
        return
    yield _checked(spec)["family"]
    for part in spec["parts"].values():
        yield from paths_in(part["family"])


def _checked(spec: Any) -> Mapping[str, Any]:
    """The spec of a composed family; ValueError where it is none."""
    whole = isinstance(spec, Mapping) and set(spec) == {"family", "parts"} and isinstance(spec["family"], str)
    if whole and isinstance(spec["parts"], Mapping):
        parts = spec["parts"].values()
        if all(isinstance(part, Mapping) and set(part) == {"family", "params"} for part in parts):
            return spec
    raise ValueError(
        f'family={spec!r} must be a string "module:Class", or {{"family": "module:Class", "parts": {{name: {{"family": ..., '
        '"params": {...}}}}}'
    )


copyreg.pickle(
    _ComposedType,
    lambda family: (family_at, (spec_of(family),)) if family.parts else family.__qualname__,  # type: ignore[arg-type]
)


# ------------------------------------------------------------------------------------------------- rows
class PartParameters(Parameters):
    """The parameters of a composed family: its own, and for each part a row that is not to be changed."""

    def __init__(self, parts: Mapping[str, Variant], /, **own: Parameter):
        super().__init__(**own)
        self._parts = {name: part.params for name, part in parts.items()}
        self.dtype = record(**self.fields, **_dtypes(self._parts))

    def row(self, values: dict[str, Any]) -> np.ndarray:
        """One row holding resolved values and the rows of the parts."""
        row = np.zeros(1, self.dtype)
        mine = super().row(values).view(np.ndarray)
        for name in self.fields:
            row[name] = mine[name]
        for name, part in self._parts.items():
            row[name] = part.view(np.ndarray)
        return for_drivers(row)


def _dtypes(rows: Mapping[str, np.ndarray]) -> dict[str, np.dtype]:
    return {name: array.dtype for name, array in rows.items()}


# ------------------------------------------------------------------------------------------------- kernels
def by_part(name: str, parts: Mapping[str, Variant]) -> Callable:
    """Return the kernel of this name of the whole: it leads to that of the part whose number is `task.which`.

    The part's kernel is given the part's rows: `params["room"]`, `task["room"]`, `state["room"]`.
    """
    kernels = {part: variant.kernel(name) for part, variant in parts.items()}
    return led_to(kernels, name, _ARGUMENTS[name], given_back=_GIVEN_BACK.get(name, "return {call}"))


def led_to(
    kernels: Mapping[str, Callable],
    name: str,
    arguments: tuple[str, ...],
    given_back: str = "return {call}",
    which: str = "task.which",
) -> Callable:
    """Return a kernel that leads to one of several, the one whose number is `which`.

    Args:
        kernels: by the name of a part, in the order of their numbers.
        name: what the kernel is called.
        arguments: of each kernel. Rows (`ROWS`) are handed on as the part's: `state` as `state["room"]`.
        given_back: the statement around the call, where the kernels give numbers of several types.
        which: where the number of the part stands, in terms of the arguments.
    """
    chain: Callable | None = None
    for number, part in reversed(list(enumerate(kernels))):
        chain = _link(name, kernels[part], part, number, chain, arguments, given_back)
    assert chain is not None
    scope: dict[str, Any] = {"chain": chain, "__name__": __name__}
    told = ", ".join(arguments)
    exec(f"def {name}_of_part({told}):\n    return chain({which}, {told})", scope)
    return kernel(scope[f"{name}_of_part"])


def of_each_part(kernels: Mapping[str, Callable], name: str, arguments: tuple[str, ...]) -> Callable:
    """Return a kernel that calls one for each part, in order, with the part's rows; arguments as in `led_to`."""
    lines = [
        f"    own_{number}({', '.join(f'{one}[part_{number}]' if one in ROWS else one for one in arguments)})"
        for number in range(len(kernels))
    ]
    scope: dict[str, Any] = {"__name__": __name__}
    for number, (part, own) in enumerate(kernels.items()):
        scope |= {f"part_{number}": part, f"own_{number}": own}
    exec(f"def {name}_of_each_part({', '.join(arguments)}):\n" + "\n".join(lines), scope)
    return kernel(scope[f"{name}_of_each_part"])


def _link(
    name: str, own: Callable, part: str, number: int, others: Callable | None, arguments: tuple[str, ...], given_back: str
) -> Callable:
    """One part of a chain: its own kernel where it is the one, and the others else. The last is the one without asking."""
    call = f"own({', '.join(f'{one}[part]' if one in ROWS else one for one in arguments)})"
    asked = "" if others is None else f"    if which != number:\n        return others(which, {', '.join(arguments)})\n"
    body = given_back.format(call=call)
    source = f"def {name}_of(which, {', '.join(arguments)}):\n{asked}    if True:\n        {body}\n"
    scope: dict[str, Any] = {"own": own, "others": others, "part": part, "number": number, "__name__": __name__}
    exec(source, scope)
    return glue(scope[f"{name}_of"])
