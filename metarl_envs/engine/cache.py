"""The compile cache: one file for each driver, family, row layout and machine.

Numba's own `cache=True` keeps one index file for all functions made by one closure. Two processes that compile different
families at once can leave one family's entry pointing at the other's machine code, and an edit to a helper in another
module goes unseen. Here a file's name is a digest of everything its content follows from: the bytecode of every kernel
reached, every constant frozen into them, the argument types, the processor, and the versions of Python, Numba and LLVM.
There is no index, and a file is written aside and renamed, so nothing can be half-written or swapped. A file begins with
a digest of its content, so nothing damaged is run.

Files lie in `NUMBA_CACHE_DIR`, or else in the user's cache folder. Where nothing is writable, code is compiled each time.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import hashlib
import os
import pickle
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.engine.compile_errors import KernelError, explained

#: Raised by hand when the format of the files changes.
_FORMAT = 4
_DIGEST_SIZE = hashlib.sha256().digest_size
#: How many files are kept; the oldest go first.
_MOST_FILES = 1000


def cached(driver: Callable, name: str, digest: str) -> Callable:
    """Give a compiled driver its place on disk. `digest` stands for all source it was made from.

    It also becomes part of the driver's name in machine code, so that no two files hold different code under one name.
    """
    _name_by_content(driver)
    driver.py_func.__qualname__ = f"{name}.{digest}"  # type: ignore[attr-defined]
    driver._cache = _driver_cache_class()(name, digest)  # type: ignore[attr-defined]
    compile_one = driver.compile  # type: ignore[attr-defined]

    def compile_clearly(sig: Any) -> Any:
        """Without Numba's remark where families share a kernel and one's row begins like another's; errors made short."""
        with _quietly():
            try:
                return compile_one(sig)
            except KernelError as error:  # of a driver that this one calls
                raise error.with_traceback(None) from None
            except Exception as error:
                raise explained(error, name) from None

    driver.compile = compile_clearly  # type: ignore[attr-defined]
    return driver


def digest_of(*functions: Callable) -> str:
    """A digest of everything that the machine code of these functions follows from, apart from argument types."""
    parts: list = []
    numbers: dict[Any, int] = {}
    for function in functions:
        _collect_parts(function, parts, numbers)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


_named: set[Any] = set()


def _name_by_content(function: Callable) -> None:
    """Give every kernel that a driver reaches a name in machine code that says what it is: files share symbols by name."""
    plain = getattr(function, "py_func", function)
    if plain in _named:
        return
    _named.add(plain)
    digest = digest_of(plain)
    for _, value in _free_values(plain):
        source = getattr(value, "_defn", value)
        if isinstance(getattr(source, "py_func", None), types.FunctionType) and not _is_foreign(source):
            _name_by_content(source)
    plain.__qualname__ = f"{plain.__qualname__}_{digest[:16]}"


def folder() -> Path:
    """Where compiled drivers are kept."""
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(given) / "metarl_envs"
    from numba.misc.appdirs import user_cache_dir

    return Path(user_cache_dir("metarl_envs", False))


def _collect_parts(function: Callable, parts: list, numbers: dict[Any, int]) -> int:
    """Describe a function, every kernel it reaches and every constant frozen into them; the function's number.

    Functions are told apart by what they are, not by name: two closures of one factory share name and code.
    """
    plain = getattr(function, "py_func", function)
    if plain in numbers:
        return numbers[plain]
    number = numbers[plain] = len(numbers)
    options = sorted(getattr(function, "targetoptions", {}).items())
    reached = []
    for label, value in _free_values(plain):
        source = getattr(value, "_defn", value)  # what an intrinsic is made from
        if isinstance(getattr(source, "py_func", source), types.FunctionType):
            if not _is_foreign(source):
                reached.append((label, "function", _collect_parts(source, parts, numbers)))
        elif isinstance(value, np.ndarray):
            reached.append((label, f"{value.dtype}{value.shape}{value.tobytes().hex()}"))
        elif isinstance(value, int | float | complex | str | bytes | tuple | enum.Enum | np.generic | np.dtype):
            reached.append((label, repr(value)))
    name = f"{plain.__module__}.{plain.__code__.co_qualname}"
    parts.append((number, name, _essence(plain.__code__), plain.__defaults__, plain.__kwdefaults__, options, sorted(reached)))
    return number


def _essence(code: types.CodeType) -> tuple:
    """What a code object does, without where it stands."""
    constants = tuple(_essence(c) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_argcount


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


@functools.cache
def _driver_cache_class() -> type:
    """The cache class, made when Numba is there to be subclassed."""
    import llvmlite
    import numba
    from numba.core import caching, compiler, serialize

    versions = _FORMAT, sys.implementation.cache_tag, numba.__version__, llvmlite.__version__

    class DriverCache(caching._Cache):
        """What a Numba dispatcher asks for machine code: one file for each signature."""

        def __init__(self, name: str, digest: str):
            self._name, self._digest, self._enabled = name, digest, True

        @property
        def cache_path(self) -> str:
            return str(folder())

        def enable(self) -> None:
            self._enabled = True

        def disable(self) -> None:
            self._enabled = False

        def flush(self) -> None:
            """Files are named by what they hold, so there is never a stale one to forget."""

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            """The compiled function for a signature, or None."""
            if not self._enabled:
                return None
            try:
                payload = _read(self._file(sig, target_context))
            except (OSError, ValueError):
                return None
            target_context.refresh()
            try:
                with _quietly():
                    return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
            except Exception:  # a damaged file is compiled anew and replaced
                return None

        def save_overload(self, sig: Any, data: Any) -> None:
            """Keep a compiled function, if anywhere is writable."""
            if not self._enabled or data.lifted or data.objectmode or data.library.has_dynamic_globals:
                return
            path = self._file(sig, data.target_context)
            with contextlib.suppress(OSError):
                _write(path, serialize.dumps(data._reduce()))
                _prune(path.parent)

        def _file(self, sig: Any, target_context: Any) -> Path:
            key = repr((versions, self._digest, sig, target_context.codegen().magic_tuple()))
            return folder() / f"{self._name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.bin"

    return DriverCache


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read(path: Path) -> bytes:
    """What `_write` wrote; ValueError where the file has been damaged since."""
    stored = path.read_bytes()
    digest, content = stored[:_DIGEST_SIZE], stored[_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError(f"{path} is damaged")
    return content


def _write(path: Path, content: bytes) -> None:
    """Write aside and rename: a reader sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def _prune(directory: Path) -> None:
    """Let go of the oldest files beyond the limit: edits leave old ones behind."""
    files = [entry for entry in os.scandir(directory) if entry.name.endswith(".bin")]
    for entry in sorted(files, key=lambda entry: entry.stat().st_mtime)[:-_MOST_FILES]:
        with contextlib.suppress(OSError):
            os.unlink(entry.path)
