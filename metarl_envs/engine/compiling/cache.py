"""The compile cache: one file for each driver, row layout and machine, and one for each part of drivers.

Numba's own `cache=True` keeps one index file for all functions made by one closure. Two processes that compile different
families at once can leave one family's entry pointing at the other's machine code, and an edit to a helper in another
module goes unseen. Here a file's name is a digest of everything its content follows from: the bytecode of every kernel
reached, every constant frozen into them, the argument types, the processor, and the versions of Python, NumPy, Numba and LLVM.
There is no index, and a file is written aside and renamed, so nothing can be half-written or swapped. A file begins with
a digest of its content, so nothing damaged is run.

Kernels are told apart by identity, not by name: two closures of one factory share name and bytecode, and differ in what they
close over. In machine code each kernel bears a digest in its name, because a process that loads two files links functions of
one name together.

Beside drivers, the parts that they are linked from are kept in the same way, each under a digest of its kernel: whoever has
played a family has a learner's driver for it in a fraction of the time.

Files lie in `NUMBA_CACHE_DIR`, or else in the user's cache folder. Where nothing is writable, code is compiled each time.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.engine.compiling import numba_parts
from metarl_envs.engine.compiling.errors import KernelError, explained
from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.engine.compiling.notice import notice
from metarl_envs.engine.compiling.numba_parts import folder
from metarl_envs.files import written_aside

#: Raised by hand when the format of the files changes. Files of an older one are not read.
_FORMAT = 5
_DIGEST_SIZE = hashlib.sha256().digest_size
#: How many files are kept; the oldest go first. A driver is some 200 kB, a part some 20.
_MOST_FILES = 5000
#: What each kernel was when its name in machine code was given, which is for good.
_named: weakref.WeakKeyDictionary[Callable, str] = weakref.WeakKeyDictionary()


def compiled(name: str, *functions: Callable) -> SimpleNamespace:
    """Return the functions by name, as drivers: compiled on first use, and kept on disk."""
    if PLAIN:
        return SimpleNamespace(**{f.__name__: f for f in functions})
    return SimpleNamespace(**{f.__name__: cached(numba_parts.compiled_driver(f), f"{name}.{f.__name__}") for f in functions})


def cached(driver: Any, name: str) -> Any:
    """Give a compiled driver its place on disk, and a name in machine code that no other code has."""
    kept = _Kept(driver, name)
    if numba_parts.supported().cache:
        numba_parts.ask_before_compiling(driver, kept.load, kept.save)
    compile_one = driver.compile

    def compile_clearly(sig: Any) -> Any:
        """Without Numba's remark where families share a kernel and one's row begins like another's; errors made short."""
        kept.look()
        with _quietly(), numba_parts.compiling(kept.shelf(), numba_parts.supported().quick):
            try:
                made = compile_one(sig)
                numba_parts.forget_what_is_done(driver)
                return made
            except KernelError as error:  # of a driver that this one calls
                raise error.with_traceback(None) from None
            except Exception as error:
                raise explained(error, name) from None
            finally:
                notice.end()

    driver.compile = compile_clearly
    return driver


class _Kept:
    """The files of one driver, one for each signature. Variants of equal kernels and rows share them, whatever their names."""

    def __init__(self, driver: Any, name: str):
        self._driver, self._name, self._kind = driver, name, name.rpartition(".")[2]
        self._digest: str | None = None

    def look(self) -> None:
        """See what the driver is made of now. A kernel that has changed since it was compiled is in no file."""
        digest = digest_of(self._driver)
        self._digest = digest if _name_by_content(self._driver) else None
        self._driver.py_func.__qualname__ = f"{self._kind}.{digest}"

    def shelf(self) -> numba_parts.Shelf | None:
        """Where its parts come from and go to, if it may be kept itself."""
        may_keep = self._digest is not None and numba_parts.supported().cache
        return numba_parts.Shelf(_load_part) if may_keep else None

    def load(self, key: str) -> bytes | None:
        """The file's content, or None: then the driver is going to be compiled."""
        if self._digest is not None:
            with contextlib.suppress(OSError, ValueError):
                return _read(self._file(key))
        notice.begin(self._name, folder())
        return None

    def save(self, key: str, content: bytes) -> None:
        """Write the file, if anywhere is writable, and nothing was changed while it was compiled."""
        if self._digest is None or digest_of(self._driver) != self._digest:
            return
        with contextlib.suppress(OSError):
            _write(self._file(key), content)
            for kernel, part_key, part in numba_parts.made():
                _write(_file("part", _named[kernel], part_key), part)
            _prune(folder())

    def _file(self, key: str) -> Path:
        return _file(self._kind, str(self._digest), key)


def _load_part(kernel: Callable, key: str) -> bytes | None:
    """What is on disk of a kernel as a part of drivers, or None."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return _read(_file("part", _named[kernel], key))
    return None


# ------------------------------------------------------------------------------------------------- what code is made of
def digest_of(*functions: Callable) -> str:
    """Return a digest of everything that the machine code of these functions follows from, apart from argument types."""
    parts: list[tuple] = []
    numbers: dict[Callable, int] = {}
    for function in functions:
        _describe(function, parts, numbers)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _describe(function: Callable, parts: list[tuple], numbers: dict[Callable, int]) -> int:
    """Append what a function is made of, and every function that it reaches, to `parts`; return the function's number.

    Functions refer to each other by number: closures of one factory have one name, and a name in a digest would confuse them.
    """
    plain = _plain(function)
    if plain in numbers:
        return numbers[plain]
    number = numbers[plain] = len(numbers)
    reached = [(label, _described(value, parts, numbers)) for label, value in _free_values(plain)]
    defaults = _described((plain.__defaults__, tuple(sorted((plain.__kwdefaults__ or {}).items()))), parts, numbers)
    options = sorted(getattr(function, "targetoptions", {}).items())
    name = f"{plain.__module__}.{plain.__code__.co_qualname}"
    parts.append((number, name, _essence(plain.__code__), defaults, options, sorted(reached)))
    return number


def _described(value: Any, parts: list[tuple], numbers: dict[Callable, int]) -> str:
    """What a constant, or a function, is; an empty string for what compiled code cannot hold."""
    source = getattr(value, "_defn", value)  # what an intrinsic is made from
    if isinstance(getattr(source, "py_func", source), types.FunctionType):
        return _called(source) if _is_foreign(source) else f"function {_describe(source, parts, numbers)}"
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype!r}{value.shape}{value.tobytes().hex()}"
    if isinstance(value, tuple):
        return f"{type(value).__name__}({', '.join(_described(one, parts, numbers) for one in value)})"
    if isinstance(value, type) and hasattr(value, "_fields"):  # a named tuple
        return repr(value._fields)
    if value is None or isinstance(value, int | float | complex | str | bytes | enum.Enum | np.dtype):
        return repr(value)
    if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType | np.ufunc):  # `math.sin`, `np.int8`
        return _called(value)
    return repr(value) if type(value).__module__.startswith("numba.core.types") else ""


def _called(value: Any) -> str:
    """By what name a class, a module or a function of others is found, whatever it is called where it is used."""
    return f"{getattr(value, '__module__', None)}.{getattr(value, '__qualname__', value.__name__)}"


def _essence(code: types.CodeType) -> tuple:
    """What a code object does, without where it stands."""
    constants = tuple(_essence(c) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    called = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, called


def _name_by_content(function: Callable) -> bool:
    """Give every kernel that a driver reaches a name in machine code that says what it is.

    False where a kernel has been given a name already, and is something else now: a constant of its module was changed.
    """
    unchanged, numbers = True, {}
    _describe(function, [], numbers)
    for plain in numbers:
        digest = digest_of(plain)
        if plain not in _named:
            _named[plain] = digest
            plain.__qualname__ = f"{plain.__qualname__}_{digest[:16]}"
        unchanged &= _named[plain] == digest
    return unchanged


def _plain(function: Any) -> Any:
    return getattr(function, "py_func", function)


def _free_values(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Every value that a function reaches by a global name, a closure, `package.module.name` or `Enumeration.NAME`."""
    names = list(_names(function.__code__))
    scope = {name: function.__globals__[name] for name in names if name in function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a name not bound yet
            scope[name] = cell.cell_contents
    looked_into: set[int] = set()
    found = list(scope.items())
    while found:
        name, value = found.pop()
        yield name, value
        if isinstance(value, types.ModuleType | type) and not _is_foreign(value) and id(value) not in looked_into:
            looked_into.add(id(value))
            found += [(f"{name}.{attribute}", getattr(value, attribute)) for attribute in names if hasattr(value, attribute)]


def _is_foreign(value: Any) -> bool:
    """Whether a module, class or function is one of those whose versions are in a file's name, or Python's own."""
    module = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    return str(module).split(".")[0] in ("builtins", "llvmlite", "math", "numba", "numpy")


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


# ------------------------------------------------------------------------------------------------- files
@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _file(kind: str, digest: str, key: str) -> Path:
    """Where code of a kind lies: what it is made of, and for which arguments, processor and versions, is in its name."""
    whole = repr((_FORMAT, numba_parts.versions(), digest, key))
    return folder() / f"{kind}-{hashlib.sha256(whole.encode()).hexdigest()[:32]}.bin"


def _read(path: Path) -> bytes:
    """What `_write` wrote; ValueError where the file has been damaged since."""
    stored = path.read_bytes()
    digest, content = stored[:_DIGEST_SIZE], stored[_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError(f"{path} is damaged")
    return content


def _write(path: Path, content: bytes) -> None:
    """Write a file that begins with a digest of its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as [aside]:
        aside.write_bytes(hashlib.sha256(content).digest() + content)


def _prune(directory: Path) -> None:
    """Remove the oldest files beyond the limit: edits leave old ones behind."""
    files = [entry for entry in os.scandir(directory) if entry.name.endswith(".bin")]
    for entry in sorted(files, key=lambda entry: entry.stat().st_mtime)[:-_MOST_FILES]:
        with contextlib.suppress(OSError):
            os.unlink(entry.path)
