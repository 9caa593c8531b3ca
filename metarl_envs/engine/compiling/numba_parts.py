"""How functions are given to Numba. Whatever is used beyond its public interface is in this file, and can be done without.

`supported` tries it out once, and says what works with the Numba that is installed:

* `options`: code without Numba's run-time (`_nrt=False`), which counts no references. Without it, drivers are slower.
* `parts`: kernels that are compiled as parts of drivers instead of by themselves, and of Numba's compiler only what they need.
  Without it, compiling takes three times as long.
* `cache`: a dispatcher that asks for machine code, or a part, before it compiles, and names of row types in machine code that
  are the same in every process. Without it, drivers are compiled anew in each process.
* `quick`: Numba's own ways of finding things out done in less time. Without it, compiling takes somewhat longer.

Results are the same.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import importlib
import inspect
import os
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Supported(NamedTuple):
    """Which of Numba's inner workings are as this package knows them (see the top of this file)."""

    options: bool
    parts: bool
    cache: bool
    quick: bool


def compiled_kernel(function: Callable, forceinline: bool) -> Any:
    """Return a dispatcher for a kernel. One that is not forced inline is left to LLVM, which inlines small ones by itself."""
    name_rows_by_content()
    return _kernel(function, forceinline, supported())


def compiled_driver(function: Callable) -> Any:
    """Return a dispatcher for a function that Python calls."""
    name_rows_by_content()
    return _driver(function, supported())


def _kernel(function: Callable, forceinline: bool, have: Supported) -> Any:
    options = _NO_RUN_TIME if have.options else {}
    if have.parts:
        return _parts()(function, forceinline=forceinline, **options)
    return _njit(function, forceinline=forceinline, **options)


def _driver(function: Callable, have: Supported) -> Any:
    options = _NO_RUN_TIME if have.options else {}
    return _njit(function, **options, pipeline_class=_pipelines().driver if have.parts else None)


#: Without Numba's run-time nothing is reference-counted, which made drivers 15 times faster; what allocates does not compile.
_NO_RUN_TIME = {"_nrt": False}


def _njit(function: Callable, **options: Any) -> Any:
    from numba import njit

    return njit(nogil=True, **options)(function)


@functools.cache
def supported() -> Supported:
    """Try out what this file needs of Numba, and warn of what does not work.

    That all works is remembered beside the compiled drivers, so that trying costs nothing in the next process.
    """
    all_works = folder() / f"numba-{_identity()}.works"
    if all_works.exists():
        return Supported(*(True for _ in Supported._fields))
    works, problems = _what_works()
    if problems:
        _warn(problems)
    else:
        with contextlib.suppress(OSError):
            all_works.parent.mkdir(parents=True, exist_ok=True)
            all_works.touch()
    return works


def _what_works() -> tuple[Supported, list[str]]:
    """All of it, which takes one trial to see; or else what does, one after the other, and what is wrong with the others."""
    works, problems = Supported(*(False for _ in Supported._fields)), []
    with contextlib.suppress(Exception):
        everything = Supported(*(True for _ in Supported._fields))
        _try(everything)
        return everything, []
    for what, effect in _EFFECTS.items():
        trying = works._replace(**{what: True})
        try:
            _try(trying)
            works = trying
        except Exception as error:
            problems.append(f"{effect} ({type(error).__name__}: {error})")
    return works, problems


_EFFECTS = {
    "options": "drivers are slower",
    "parts": "drivers take about three times as long to compile",
    "cache": "drivers are compiled anew in each process",
    "quick": "drivers take somewhat longer to compile",
}


def _warn(problems: list[str]) -> None:
    import numba

    told = "; ".join(problems)
    warnings.warn(
        f"metarl_envs cannot use the internals of Numba {numba.__version__}: {told}. Results are the same.", stacklevel=2
    )


def _try(have: Supported) -> None:
    """Compile two kernels and a driver over rows with what there is, and compare with what Python would do.

    With a cache, a second driver is loaded instead of compiled, and a third is made of parts that the first one kept.
    """
    name_rows_by_content()
    kept: dict[str, bytes] = {}
    first, shelf = _trial_driver(have), Shelf(lambda kernel, key: None, least=0)
    if have.cache:
        ask_before_compiling(first, kept.get, kept.__setitem__)
    with compiling(shelf if have.cache else None, have.quick):
        _check_result(first)
    if have.parts:
        _forget(first)
        _check_result(first)
    if have.cache:
        second = _trial_driver(have)
        ask_before_compiling(second, kept.get, _refuse)
        _check_result(second)
        [result] = first.overloads.values()
        if str(_number(result.signature.args[0].dtype.name)) not in result.fndesc.mangled_name:
            raise RuntimeError("a row type has another name in machine code than it was given")
    if have.cache and have.parts:
        parts = {(kernel.__name__, key): content for kernel, key, content in shelf.made}
        again = Shelf(lambda kernel, key: parts[kernel.__name__, key], least=0)
        with compiling(again, have.quick):
            _check_result(_trial_driver(have))
        if not parts or again.made:
            raise RuntimeError("a kernel was compiled though its part was there")


def _trial_driver(have: Supported) -> Any:
    def add(row, factors, number):
        row.total += number * factors[1]
        return row.total

    added = _kernel(add, False, have)

    def twice(row, number):
        added(row, row.two, number)
        return added(row, row.three, number)

    added_twice = _kernel(twice, True, have)

    def over_rows(rows):
        last = 0.0
        for i in range(len(rows)):
            last = added_twice(rows[i], 1.5)
        return last

    return _driver(over_rows, have)


def _check_result(driver: Any) -> None:
    fields = [("total", np.float64), ("two", np.int16, 2), ("three", np.int16, 3), ("other", np.int16)]
    rows = np.ones(3, np.dtype(fields, align=True))
    rows["total"] = 1, 2, 3
    last = driver(rows)
    if last != 6.0 or rows["total"].tolist() != [4.0, 5.0, 6.0]:
        raise RuntimeError(f"a trial driver returned {last} and {rows['total'].tolist()}, not 6.0 and [4.0, 5.0, 6.0]")


def _refuse(key: str, content: bytes) -> None:
    raise RuntimeError("a driver was compiled though its machine code was there")


def folder() -> Path:
    """Return the folder of compiled drivers: in `NUMBA_CACHE_DIR`, or else in the user's cache folder."""
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(given) / "metarl_envs"
    try:
        from numba.misc.appdirs import user_cache_dir
    except ImportError:
        return Path.home() / ".cache" / "metarl_envs"
    return Path(user_cache_dir("metarl_envs", False))


def versions() -> tuple:
    """What the bytes of compiled code depend on beside its source: Python, Numba and LLVM."""
    import llvmlite
    import numba

    return sys.implementation.cache_tag, numba.__version__, llvmlite.__version__, np.__version__


def _identity() -> str:
    source = inspect.getsource(sys.modules[__name__])
    return hashlib.sha256(repr((versions(), source)).encode()).hexdigest()[:16]


# ------------------------------------------------------------------------------------------------- kernels as parts
@functools.cache
def _parts() -> type:
    """Return Numba's dispatcher of a kernel with a difference, which takes a third of the time to compile.

    Numba makes each function ready to run, by itself: optimised, with all that it calls, turned into machine code, and with a
    wrapper for Python. A driver's kernels are called by nobody but the driver, which is optimised as a whole. So where compiled
    code calls a kernel, it gets a part: code that is only there to be linked in. Called from Python, a kernel is compiled as
    usual.
    """
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.registry import CPUDispatcher
    from numba.core.sigutils import normalize_signature
    from numba.core.typing.templates import make_concrete_template

    library, pipeline = _libraries().part, _pipelines().part
    _hand_over_arrays_of_any_length()

    class Part(CPUDispatcher):
        """A kernel as compiled code calls it."""

        def __init__(self, **options: Any):
            super().__init__(**options)
            self._cache = _part_cache()(self, library)

        def get_call_template(self, args: Any, kws: Any) -> tuple:
            """The signature to call it by. Numbers become what they are in plain Python, so that one part serves for all."""
            python_signature, folded = self.fold_argument_types(args, kws)
            arguments = tuple(map(_as_python_has_it, folded))
            if arguments not in self.overloads:
                self.compile(arguments)
            name = self.py_func.__name__
            template = make_concrete_template(f"CallTemplate({name})", name, [self.overloads[arguments].signature])
            return template, python_signature, arguments, {}

        def compile(self, sig: Any) -> Any:
            """As Numba does, without telling its listeners: there are some for each kernel that waits for another."""
            arguments, returned = normalize_signature(sig)
            with global_compiler_lock, self._compiling_counter:
                if (existing := self.overloads.get(tuple(arguments))) is not None:
                    return existing.entry_point
                result = self._cache.load_overload(sig, self.targetctx)
                if result is not None:
                    self.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
                    self.add_overload(result)
                else:
                    result = self._compiler.compile(arguments, returned)  # type: ignore[attr-defined]
                    self.add_overload(result)
                    self._cache.save_overload(sig, result)
                return result.entry_point

        def add_overload(self, cres: Any) -> None:
            """Keep what was compiled, but not as something that Python could call."""
            arguments = tuple(cres.signature.args)
            cres.fndesc.typemap = cres.fndesc.calltypes = None  # of the compiler alone
            self.overloads[arguments] = cres
            _living_parts[self, arguments] = cres

    class Kernel(CPUDispatcher):
        """A kernel as Python calls it."""

        def __init__(self, function: Callable, **options: Any):
            options = {"nopython": True, "nogil": True, "boundscheck": None, **options}
            super().__init__(py_func=function, locals={}, targetoptions=dict(options))
            self.part = Part(py_func=function, locals={}, targetoptions=options, pipeline_class=pipeline)

        @property
        def _numba_type_(self) -> Any:
            return self.part._numba_type_

    return Kernel


def _as_python_has_it(kind: Any) -> Any:
    """The type without what plain Python does not know: how wide a number is, that it was a constant; how long an array is."""
    from numba.core import types

    if isinstance(kind, types.BooleanLiteral | types.IntegerLiteral):
        kind = types.unliteral(kind)
    if isinstance(kind, types.NestedArray):
        return types.Array(kind.dtype, kind.ndim, "C")
    return types.int64 if kind in types.signed_domain else kind


def _hand_over_arrays_of_any_length() -> None:
    """Let an array in a row, whose lengths are in its type, be handed over as one of any lengths: in memory they are alike."""
    from numba.core import types
    from numba.extending import lower_cast

    @lower_cast(types.NestedArray, types.Array)
    def as_it_is(context: Any, builder: Any, kind: Any, wanted: Any, value: Any) -> Any:
        return value


class Libraries(NamedTuple):
    """Where code is written into."""

    driver: type
    part: type


@functools.cache
def _libraries() -> Libraries:
    from llvmlite.binding import Linkage
    from numba.core.codegen import JITCodeLibrary

    @functools.cache
    def function_passes(codegen: Any) -> tuple | None:
        """What optimises functions, made once: LLVM's binding never gives back its memory. None before Numba 0.62."""
        made = codegen._function_pass_manager
        return None if "llvm_module" in made.__code__.co_varnames else made()

    class DriverLibrary(JITCodeLibrary):
        """Numba's library, but for that."""

        def _optimize_functions(self, ll_module: Any) -> None:
            made = function_passes(self._codegen)
            if made is None:
                super()._optimize_functions(ll_module)
                return
            ll_module.data_layout = self._codegen._data_layout
            passes, builder = made
            for function in ll_module.functions:
                if not function.is_declaration:
                    passes.run(function, builder)

    class PartLibrary(DriverLibrary):
        """The code of a kernel and of all that it calls, as it was written."""

        def finalize(self) -> None:
            """Link, and stop there."""
            self._raise_if_finalized()
            for library in dict.fromkeys(self._linking_libraries):
                if hasattr(self, "_reload_init"):  # from Numba 0.62 on
                    self._reload_init.update(library._reload_init)
                self._final_module.link_in(library._get_module_for_linking(), preserve=True)
            self._finalized = True

        def _get_module_for_linking(self) -> Any:
            """Its own module, since it is there for nothing else: whoever links it may have its functions from others, too."""
            self._ensure_finalized()
            if self._shared_module is None:
                for function in self._final_module.functions:
                    if not function.is_declaration and function.linkage == Linkage.external:
                        function.linkage = Linkage.linkonce_odr
                self._shared_module = self._final_module
            return self._shared_module

    return Libraries(DriverLibrary, PartLibrary)


class Pipelines(NamedTuple):
    """How a function becomes such code."""

    driver: type
    part: type


@functools.cache
def _pipelines() -> Pipelines:
    """Return Numba's pipeline for drivers and for parts, without what takes time and is not asked for."""
    from numba.core import config
    from numba.core.compiler import CompilerBase, DefaultPassBuilder
    from numba.core.compiler_machinery import PassManager
    from numba.core.typed_passes import AnnotateTypes, DumpParforDiagnostics, NativeLowering, NopythonRewrites
    from numba.core.untyped_passes import InlineClosureLikes, MakeFunctionToJitFunction

    lowerings, errors = _lowerings(), _errors()
    for_readers, for_inner_functions = {AnnotateTypes, DumpParforDiagnostics}, {InlineClosureLikes, MakeFunctionToJitFunction}
    for_new_arrays = {NopythonRewrites}

    class Passes(PassManager):
        """Passes without Numba's accounts of each, in which all types are written out."""

        def _runPass(self, index: int, one: Any, state: Any) -> None:  # noqa: N802  (Numba's name)
            one.analysis = self._analysis
            with errors.new_error_context("Pass {name}", name=one.name()):
                one.run_initialization(state)
                one.run_pass(state)
                one.run_finalizer(state)

    class Pipeline(CompilerBase):
        lowering: Any
        unneeded: set
        chosen: dict  # passes and what of them needs what, by whether there are inner functions

        def define_pipelines(self) -> list:
            has_inner = any(isinstance(constant, types.CodeType) for constant in self.state.func_id.code.co_consts)
            if has_inner not in self.chosen:
                self.chosen[has_inner] = self._choose(self.unneeded | (set() if has_inner else for_inner_functions))
            made = Passes("nopython")
            made.passes, made._analysis = self.chosen[has_inner]
            made._finalized = True
            return [made]

        def _choose(self, unneeded: set) -> tuple:
            ordinary = DefaultPassBuilder.define_nopython_pipeline(self.state)
            needed = [(one, what) for one, what in ordinary.passes if one not in unneeded]
            ordinary.passes = [(self.lowering if one is NativeLowering else one, what) for one, what in needed]
            ordinary.finalize()
            return ordinary.passes, ordinary._analysis

    class DriverPipeline(Pipeline):
        lowering, unneeded, chosen = lowerings.driver, for_readers, {}

    class PartPipeline(Pipeline):
        lowering, unneeded, chosen = lowerings.part, for_readers | for_new_arrays, {}

        def __init__(self, typing_context: Any, target_context: Any, *rest: Any):
            with _as_they_are(config, typing_context, target_context):
                super().__init__(typing_context, target_context, *rest)

    return Pipelines(DriverPipeline, PartPipeline)


@contextlib.contextmanager
def _as_they_are(config: Any, *contexts: Any) -> Iterator[None]:
    """Do not look for what was set or registered since: for a driver, that is done already."""
    reload_config = config.reload_config
    config.reload_config = _nothing
    for context in contexts:
        context.refresh = _nothing
    try:
        yield
    finally:
        config.reload_config = reload_config
        for context in contexts:
            del context.refresh


def _nothing(*_: Any) -> None:
    pass


@functools.cache
def _lowerings() -> Pipelines:
    """Return the last step of each pipeline, which writes code into a library."""
    from numba.core.compiler_machinery import register_pass
    from numba.core.lowering import Lower
    from numba.core.typed_passes import NativeLowering

    libraries, errors = _libraries(), _errors()

    class Lowered(Lower):
        """Writes instructions, and an account of one only if it goes wrong."""

        def lower(self) -> None:
            """Lower, and take apart what is in the library then: else it would be garbage in circles, which is slow to find."""
            super().lower()
            for function in self.module.functions:
                for block in function.blocks:
                    block.instructions.clear()
                function.blocks.clear()

        def lower_block(self, block: Any) -> None:
            self.pre_block(block)
            for instruction in block.body:
                self.loc = instruction.loc
                try:
                    self.lower_inst(instruction)
                except Exception:
                    kind = functools.partial(errors.LoweringError, loc=self.loc)
                    with errors.new_error_context('lowering "{inst}" at {loc}', inst=instruction, loc=self.loc, errcls_=kind):
                        raise
            self.post_block(block)

    @register_pass(mutates_CFG=True, analysis_only=False)
    class DriverLowering(NativeLowering):
        """Write a driver's code into such a library."""

        _name = "metarl_envs_driver_lowering"
        lowering_class: Any = Lowered

        def run_pass(self, state: Any) -> bool:
            state.flags.no_cfunc_wrapper = True  # nobody calls it from C
            state.library = libraries.driver(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
            return super().run_pass(state)

    @register_pass(mutates_CFG=True, analysis_only=False)
    class PartLowering(NativeLowering):
        """Write a kernel's code into such a library."""

        _name = "metarl_envs_part_lowering"
        lowering_class: Any = Lowered

        def run_pass(self, state: Any) -> bool:
            """Lower, and tell Numba by what name the kernel is called, which is all that it needs an executable for."""
            state.flags.no_compile = state.flags.no_cpython_wrapper = state.flags.no_cfunc_wrapper = True
            state.library = libraries.part(state.targetctx.codegen(), state.func_id.func_qualname)
            super().run_pass(state)
            name = object()
            state.targetctx.insert_user_function(name, state.cr.fndesc, [state.library])
            state.cr = state.cr._replace(cfunc=name)
            return True

    return Pipelines(DriverLowering, PartLowering)


#: How many compiled parts are kept in memory for further drivers: about an eighth of a megabyte each. A box has some 300.
_MOST_PARTS = 512
#: Parts from the oldest to the newest, by dispatcher and argument types.
_living_parts: dict[tuple[Any, tuple], Any] = {}


def forget_what_is_done(driver: Any) -> None:
    """Give back the memory that compiling a driver took, once it has been saved.

    LLVM's form of a driver is kept by Numba for as long as the process lives, though only its machine code is called. And parts
    are kept for the next driver, of which those of all sizes of a family would fill it again.
    """
    from numba.core.compiler_lock import global_compiler_lock

    if supported().parts:
        with global_compiler_lock:  # threads that need one driver at once come here one after the other, each after its compile
            _forget(driver)


def _forget(driver: Any) -> None:
    for result in driver.overloads.values():
        _forget_form(result.library)
    while len(_living_parts) > _MOST_PARTS:
        part, arguments = next(iter(_living_parts))
        result = _living_parts.pop((part, arguments))
        part.overloads.pop(arguments, None)
        part.targetctx.remove_user_function(result.entry_point)


def _forget_form(library: Any) -> None:
    engine, module = library._codegen._engine._ee, library._final_module
    if module in engine._modules and library._compiled:
        engine.remove_module(module)
        module.close()
        library._linking_libraries.clear()  # the parts that are in it
        library._disable_inspection = True


# ------------------------------------------------------------------------------------------------- names of row types
@functools.cache
def name_rows_by_content() -> None:
    """Let machine code name a row type by what it is.

    Numba names it by a number that counts up in each process. Two processes would then give one name to code for two kinds
    of rows, and a third, which loads both from disk, would run one of them for both.
    """
    from numba.core.types import Record

    Record.mangling_args = property(lambda self: ("Record", (_number(self.name),)))  # type: ignore[assignment]


@functools.cache
def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


# ------------------------------------------------------------------------------------------------- machine code on disk
def ask_before_compiling(driver: Any, load: Callable[[str], bytes | None], save: Callable[[str, bytes], None]) -> None:
    """Let a dispatcher ask for its machine code before it compiles, and hand over what it compiled.

    Args:
        driver: a dispatcher of Numba's.
        load: what was saved under a key, or None. The key tells argument types and the processor.
        save: takes the key and the content.
    """
    driver._cache = _asking_cache()(load, save)


class _DispatchersCache:
    """What Numba wants of a dispatcher's cache, apart from loading and saving."""

    cache_path = ""

    def flush(self) -> None:
        """Content is named by what it is made from, so there is never a stale one to forget."""


@functools.cache
def _asking_cache() -> type:
    from numba.core import compiler, serialize

    class AskingCache(_DispatchersCache):
        """What a driver asks for machine code."""

        def __init__(self, load: Callable[[str], bytes | None], save: Callable[[str, bytes], None]):
            self._load, self._save = load, save

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            """The compiled function for a signature, or None."""
            content = self._load(_key(sig, target_context))
            if content is None:
                return None
            target_context.refresh()
            try:
                return compiler.CompileResult._rebuild(target_context, *pickle.loads(content))
            except Exception:  # it is compiled anew and replaced
                return None

        def save_overload(self, sig: Any, data: Any) -> None:
            """Hand over a compiled function, unless it holds addresses of this process."""
            if not (data.lifted or data.objectmode or data.library.has_dynamic_globals):
                self._save(_key(sig, data.target_context), serialize.dumps(data._reduce()))

    return AskingCache


# ------------------------------------------------------------------------------------------------- parts on disk
@dataclass
class Shelf:
    """Where parts lie from one driver, and one process, to the next.

    Attributes:
        load: `load(kernel, key)`: what was kept of a kernel under a key, or None. The key tells how it was compiled.
        least: how large a part must be, with all that it calls, to be worth keeping [bytes]; a smaller one is as soon compiled.
        made: kernel, key and content of what was compiled anew and is worth keeping.
    """

    load: Callable[[Callable, str], bytes | None]
    least: int = 3500
    made: list[tuple[Callable, str, bytes]] = field(default_factory=list)


#: The shelf of the driver that is being compiled; None where parts are not to be kept.
_shelf: ContextVar[Shelf | None] = ContextVar("shelf", default=None)


@contextlib.contextmanager
def compiling(shelf: Shelf | None, quick: bool = True) -> Iterator[None]:
    """Take parts from a shelf while a driver is compiled, and put there what is compiled anew; `quick` as in `Supported`.

    Meanwhile nothing looks for garbage, since that costs more than the memory is worth.
    """
    from numba.core.compiler_lock import global_compiler_lock

    with global_compiler_lock:
        token, collects = _shelf.set(shelf), gc.isenabled()
        gc.disable()
        try:
            with _quick() if quick else contextlib.nullcontext():
                yield
        finally:
            _shelf.reset(token)
            if collects:
                gc.enable()


def _errors() -> Any:
    return importlib.import_module("numba.core.errors")


@contextlib.contextmanager
def _quick() -> Iterator[None]:
    """Numba's own ways of finding things out in ways that are as good, and take less time."""
    from numba.core import registry

    changed = [
        (registry.cpu_target.typing_context, "resolve_function_type", _remembering(registry.cpu_target.typing_context)),
        (importlib.import_module("numba.core.ir").Inst, "_rec_list_vars", _variables()),
        (importlib.import_module("numba.core.event"), "broadcast", _nothing),  # of each call of LLVM
        (_errors(), "_termcolor_inst", _Colourless()),  # for an error that is worded for each way a call does not fit
    ]
    for name in ("ir", "typeinfer", "typing.typeof", "types.functions"):  # and for each function that is asked for its type
        changed.append((importlib.import_module(f"numba.core.{name}"), "_termcolor", _Colourless()))
    before = [(holder, name, vars(holder).get(name, _ABSENT)) for holder, name, _ in changed]
    for holder, name, value in changed:
        setattr(holder, name, value)
    try:
        yield
    finally:
        for holder, name, value in before:
            delattr(holder, name) if value is _ABSENT else setattr(holder, name, value)


_ABSENT = object()


class _Colourless:
    """What Numba marks parts of a message by."""

    @staticmethod
    def _as_it_is(message: str) -> str:
        return message

    code = errmsg = filename = indicate = highlight = reset = _as_it_is


def _remembering(context: Any) -> Callable:
    """What Numba's own functions and operators make of types, which it finds out again for each call."""
    from numba.core import types

    known, find_out = {}, context.resolve_function_type

    def resolve(function: Any, args: Any, kws: dict) -> Any:
        own = not isinstance(function, types.Type) or isinstance(function, types.Function | types.NumberClass)
        if kws or not own or not all(isinstance(one, types.Type) for one in args):  # an index may be given as it is
            return find_out(function, args, kws)
        key = function, tuple(args)
        if (found := known.get(key)) is None:
            found = known[key] = find_out(function, args, kws)
        return found

    return resolve


def _variables() -> Callable:
    """The variables in an instruction: most of what else is in one is of types that hold none."""
    from numba.core.ir import Inst, Loc, Var

    without = {str, int, float, bool, type(None), Loc, type(len)}

    def variables(self: Any, value: Any) -> list:
        found = []
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else (value,):
            kind = type(one)
            if kind is Var:
                found.append(one)
            elif kind not in without:
                if isinstance(one, Var):
                    found.append(one)
                elif isinstance(one, Inst):
                    found += one.list_vars()
                elif isinstance(one, dict | list | tuple):
                    found += variables(self, one)
        return found

    return variables


def made() -> list[tuple[Callable, str, bytes]]:
    """Return what has been compiled anew for the driver that is being compiled, and is worth keeping."""
    shelf = _shelf.get()
    return shelf.made if shelf else []


@functools.cache
def _part_cache() -> type:
    from llvmlite import binding
    from numba.core import serialize
    from numba.core.compiler import CR_FIELDS, CompileResult

    class PartCache(_DispatchersCache):
        """What a kernel asks for its code, as it is before it is linked into a driver."""

        def __init__(self, part: Any, library: type):
            self._part, self._library = part, library
            self._options = repr(sorted(part.targetoptions.items()))

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            """The part for argument types, or None."""
            shelf = _shelf.get()
            content = shelf.load(self._part.py_func, self._key(sig, target_context)) if shelf else None
            try:
                return self._rebuilt(tuple(sig), target_context, *pickle.loads(content)) if content else None
            except Exception:  # it is compiled anew and replaced
                return None

        def _rebuilt(
            self, arguments: tuple, target_context: Any, name: str, code: bytes, descriptor: Any, signature: Any
        ) -> Any:
            target_context.refresh()
            library = self._library(target_context.codegen(), name)
            library._final_module = binding.parse_bitcode(code)
            library._finalized = True
            contexts = {"typing_context": target_context.typing_context, "target_context": target_context}
            of_part = {"library": library, "fndesc": descriptor, "signature": signature, "entry_point": object()}
            if tuple(signature.args) != arguments:
                raise ValueError(f"{name} is for {signature.args}")  # of a class that is another one in each process
            nothing_else = {"objectmode": False, "lifted": (), "reload_init": (), "referenced_envs": ()}
            return CompileResult(**{**dict.fromkeys(CR_FIELDS), **contexts, **of_part, **nothing_else})

        def save_overload(self, sig: Any, data: Any) -> None:
            """Keep a part that is worth it, unless it holds addresses of this process."""
            shelf, library = _shelf.get(), data.library
            if shelf is None or data.lifted or data.objectmode or library.has_dynamic_globals or data.reload_init:
                return
            if _is_of_this_process(data.signature.args):
                return
            code = library._final_module.as_bitcode()
            if len(code) < shelf.least:
                return
            content = (library.name, code, data.fndesc, data.signature)
            shelf.made.append((self._part.py_func, self._key(sig, data.target_context), serialize.dumps(content)))

        def _key(self, sig: Any, target_context: Any) -> str:
            return f"{_key(sig, target_context)} {self._options}"

    return PartCache


#: What users may set in the environment (`NUMBA_...`) that machine code follows from.
_SETTINGS = "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK"


def _key(sig: Any, target_context: Any) -> str:
    from numba.core import config
    from numba.core.sigutils import normalize_signature

    arguments, _ = normalize_signature(sig)
    settings = [getattr(config, name) for name in _SETTINGS]
    return repr((sig, [_names_within(kind) for kind in arguments], target_context.codegen().magic_tuple(), settings))


def _names_within(kind: Any) -> list:
    """The names of fields of named tuples, which the names of their types leave out, and code reads them by."""
    within = [_names_within(one) for one in getattr(kind, "types", ())]
    return [*getattr(kind, "fields", ()), *within] if hasattr(kind, "instance_class") else [one for one in within if one]


def _is_of_this_process(arguments: Any) -> bool:
    """Whether there are functions among arguments: the names of their types are addresses."""
    from numba.core import types

    return any(isinstance(one, types.Callable) or _is_of_this_process(getattr(one, "types", ())) for one in arguments)
