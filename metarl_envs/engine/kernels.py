"""What a family is written in: plain scalar functions over rows, compiled on first use.

A kernel may use numbers, rows, elements of sub-arrays, `math`, and other kernels. It may not allocate, and it may not use
strings, exceptions or Python objects: the same source must also compile as a CUDA device function.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable)

#: True where kernels run as ordinary Python: by wish (`NUMBA_DISABLE_JIT=1`), or because there is no Numba.
PLAIN = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0") or importlib.util.find_spec("numba") is None

#: An index that cannot be negative: loops over `range(unsigned(n))` need no look at its sign, and LLVM vectorises them.
unsigned = int if PLAIN else np.uint64


def kernel(function: Function) -> Function:
    """Compile a scalar function over rows on its first call; in plain mode, leave it as it is.

    Without Numba's run-time (`_nrt=False`) nothing is reference-counted, which made drivers 15 times faster, and a kernel
    that allocates does not compile. LLVM inlines small kernels by itself. (`forceinline=False` has to be said: left open, it is
    taken over from whoever calls a kernel first, and then a family is in its drivers as often as it is called.)
    """
    if PLAIN:
        return function
    return _kernel_class()(function, forceinline=False)


def glue(function: Function) -> Function:
    """A driver's inner function: always inlined, because arrays handed over in a call cost a factor of three."""
    if PLAIN:
        return function
    return _kernel_class()(function, forceinline=True)


def driver(function: Function) -> Function:
    """Compile a function that is called from Python, with all kernels that it reaches, as one whole."""
    if PLAIN:
        return function
    from numba import njit

    _name_rows_by_content()
    return njit(nogil=True, _nrt=False)(function)  # type: ignore[call-overload]


@functools.cache
def _kernel_class() -> Any:
    """Numba's compiler with one difference, which more than halves the time that drivers take to compile.

    Numba makes each function ready to run, by itself: optimised, with all that it calls, turned into machine code, and with a
    wrapper for Python. A driver's kernels are called by nobody but the driver, which is optimised as a whole. So where compiled
    code calls a kernel, it gets a part: code that is only there to be linked in. Called from Python, a kernel is compiled as
    usual.
    """
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler import CompilerBase, DefaultPassBuilder
    from numba.core.compiler_machinery import register_pass
    from numba.core.registry import CPUDispatcher
    from numba.core.typed_passes import NativeLowering

    class PartLibrary(JITCodeLibrary):
        """The code of a kernel and of all that it calls, as it was written."""

        def finalize(self) -> None:
            """Link, and stop there."""
            self._raise_if_finalized()
            for library in dict.fromkeys(self._linking_libraries):
                if hasattr(self, "_reload_init"):  # from Numba 0.62 on
                    self._reload_init.update(library._reload_init)
                self._final_module.link_in(library._get_module_for_linking(), preserve=True)
            self._final_module.verify()
            self._finalized = True

    @register_pass(mutates_CFG=True, analysis_only=False)
    class PartLowering(NativeLowering):
        """Write a kernel's code into such a library."""

        _name = "metarl_envs_part_lowering"

        def run_pass(self, state: Any) -> bool:
            """Lower, and tell Numba by what name the kernel is called, which is all that it needs an executable for."""
            state.flags.no_compile = state.flags.no_cpython_wrapper = True
            state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
            super().run_pass(state)
            name = object()
            state.targetctx.insert_user_function(name, state.cr.fndesc, [state.library])
            state.cr = state.cr._replace(cfunc=name)
            return True

    class PartCompiler(CompilerBase):
        def define_pipelines(self) -> list:
            whole = DefaultPassBuilder.define_nopython_pipeline(self.state)
            whole.passes = [(PartLowering if one is NativeLowering else one, what) for one, what in whole.passes]
            whole.finalize()
            return [whole]

    class Part(CPUDispatcher):
        """A kernel as compiled code calls it."""

        def add_overload(self, cres: Any) -> None:
            """Keep what was compiled, but not as something that Python could call."""
            self.overloads[tuple(cres.signature.args)] = cres

    class Kernel(CPUDispatcher):
        """A kernel as Python calls it."""

        def __init__(self, function: Callable, **options: Any):
            options = {"nopython": True, "nogil": True, "_nrt": False, "boundscheck": None, **options}
            super().__init__(py_func=function, locals={}, targetoptions=dict(options))
            self.part = Part(py_func=function, locals={}, targetoptions=options, pipeline_class=PartCompiler)

        @property
        def _numba_type_(self) -> Any:
            return self.part._numba_type_

    _name_rows_by_content()
    return Kernel


@functools.cache
def _name_rows_by_content() -> None:
    """Let machine code name a row type by what it is.

    Numba names it by a number that counts up in each process. Two processes would then give one name to code for two kinds
    of rows, and a third, which loads both from disk, would run one of them for both.
    """
    from numba.core.types import Record

    @functools.cache
    def number(name: str) -> int:
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])

    Record.mangling_args = property(lambda self: ("Record", (number(self.name),)))  # type: ignore[assignment]
