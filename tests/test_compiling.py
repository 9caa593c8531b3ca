"""How little is compiled: each kernel once for single and vector environments, and never forced into its caller."""

import os
import subprocess
import sys
import time
from collections import namedtuple

import numpy as np
import pytest

from metarl_envs.engine import PLAIN, ByParameters, kernel
from metarl_envs.engine.compiling import notice as compile_notice
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.engine.family import load_family
from metarl_envs.ids import family_of
from metarl_envs.task_sets import TaskSet

DarkRoom = load_family(family_of("MetaRL/DarkRoom-v0"))
if not PLAIN:
    from metarl_envs.engine.compiling import numba_parts
compiled = pytest.mark.skipif(PLAIN, reason="nothing is compiled")


@pytest.fixture(autouse=True)
def nothing_on_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))


def fresh(name):
    """The same kernel, not compiled yet."""
    return kernel(getattr(getattr(DarkRoom, name), "py_func", getattr(DarkRoom, name)))


def run_both(family, **params):
    """Both environments, and masks that may and may not be written to."""
    tasks = TaskSet.of_family(family, split=None, **params)
    single = SingleEnv(tasks)
    single.reset(seed=0)
    single.step(1)
    envs = FamilyVectorEnv(tasks, num_envs=3, autoreset_mode="SameStep")
    envs.reset(seed=0)
    envs.reset(options={"reset_mask": np.array([True, False, True])})
    envs.step(np.ones(3, np.int64))
    return single, envs


@compiled
def test_each_kernel_is_compiled_once_for_single_and_vector_environments():
    class Afresh(DarkRoom):
        sample_task, reset, step, observe = map(fresh, ("sample_task", "reset", "step", "observe"))

    _, envs = run_both(Afresh)
    for made in (Afresh.sample_task, Afresh.reset, Afresh.step, Afresh.observe):
        [part] = made.part.overloads.values()
        assert not made.overloads, "as Python calls it, nobody asked for it"
        # left to itself, Numba hands this on from a caller to all that it calls, and drivers grow to several times their size
        assert "alwaysinline" not in part.library.get_llvm_str()
    go = envs._worlds._go
    assert (len(go.begin.overloads), len(go.advance.overloads)) == (1, 1)


@compiled
def test_a_kernel_is_compiled_once_for_numbers_of_all_widths():
    """Plain Python has one kind of whole number, and of a constant it does not know that it is one."""

    @kernel
    def difference(row, a, b, really):
        return (a - b if really else b - a) + row.total

    def over_rows(rows):
        row, total = rows[0], 0
        for i in range(len(rows)):
            total += difference(row, row.small, i, True) + difference(row, 7, row.byte, row.total > 3)
        return total + difference(row, np.uint64(2), i, row.total > 3)

    rows = np.zeros(5, np.dtype([("total", np.int64), ("small", np.int16), ("byte", np.int8)], align=True))
    rows["total"], rows["small"], rows["byte"] = 3, -32_768, -128
    driver = numba_parts.compiled_driver(over_rows)
    with numba_parts.compiling(None):
        assert driver(rows) == sum(-32_768 - i + 3 + (-128 - 7) + 3 for i in range(5)) + (4 - 2) + 3
    signed, unsigned = ([str(one) for one in arguments[1:]] for arguments in difference.part.overloads)
    assert (signed, unsigned) == (["int64", "int64", "bool"], ["uint64", "int64", "bool"])


@compiled
def test_a_kernel_is_compiled_once_for_arrays_of_all_lengths():
    """Numba knows how long an array in a row is; a kernel that is handed it, or a part of it, does not."""

    @kernel
    def emptied(notes, k):
        total = notes[k, 0] + notes[-1, 1]
        for j in range(notes.shape[1]):
            notes[k, j] = 0
        return total

    def over_rows(rows):
        total = 0
        for i in range(len(rows)):
            total += emptied(rows[i].own, 1) + 10 * emptied(rows[i].shared, 0) + 100 * emptied(rows[i].of_each[1], 2)
        return total

    fields = [("own", np.int16, (2, 3)), ("shared", np.int16, (4, 2)), ("of_each", np.int16, (2, 3, 4))]
    rows = np.zeros(2, np.dtype(fields, align=True))
    for name, *_ in fields:
        rows[name] = np.arange(rows[name].size).reshape(rows[name].shape)
    plain = rows.copy()
    for i in range(2):
        for book, k in (plain["own"][i], 1), (plain["shared"][i], 0), (plain["of_each"][i, 1], 2):
            book[k] = 0
    expected = sum((3 + 4 + 12 * i) + 10 * (7 + 16 * i) + 100 * (20 + 21 + 48 * i) for i in range(2))
    with numba_parts.compiling(None):
        assert numba_parts.compiled_driver(over_rows)(rows) == expected
    np.testing.assert_array_equal(rows, plain)
    assert [str(arguments[0]) for arguments in emptied.part.overloads] == ["array(int16, 2d, C)"]


@compiled
def test_a_driver_is_the_same_whatever_stands_in_the_arrays_that_it_is_made_like():
    """Some are not filled yet: their content must not tell one process's file from the next one's."""
    from metarl_envs.engine.compiling.cache import digest_of
    from metarl_envs.engine.loops.calls import by_address

    def first(rows, other):
        return rows[0, 0] + other[0]

    def digest(*arrays):
        return digest_of(by_address(first, arrays))

    once = digest(np.zeros((1, 2)), np.zeros(1))
    assert once == digest(np.ones((3, 2)), np.ones(1))
    assert len({once, digest(np.zeros((1, 3)), np.zeros(1)), digest(np.zeros((1, 2)), np.zeros(1, np.int16))}) == 3


@compiled
def test_variables_of_instructions_are_those_that_numba_finds():
    from numba.core import bytecode, interpreter, ir

    def odd_things(row, values, *more):
        for i, one in enumerate(values[1:]):
            row.total += one if more else -one
            values[i, 0], row.last = one + more[0], (i, "text", 1.5, None)
        return {"a": row}, [one for one in more], f"{row}"

    once = bytecode.FunctionIdentity.from_function(odd_things)
    made = interpreter.Interpreter(once).interpret(bytecode.ByteCode(once))
    instructions = [one for block in made.blocks.values() for one in block.body]
    find = numba_parts._variables()
    assert len(instructions) > 30
    for one in instructions:
        assert find(one, vars(one)) == ir.Inst._rec_list_vars(one, vars(one)), one
        for part in vars(one).values():
            assert find(one, part) == ir.Inst._rec_list_vars(one, part), part


@compiled
def test_what_was_changed_in_numba_for_compiling_is_as_it_was():
    import gc

    from numba.core import config, errors, event, ir
    from numba.core.registry import cpu_target
    from numba.core.typing import typeof

    def state():
        contexts = cpu_target.typing_context, cpu_target.target_context
        inner = [set(vars(context)) & {"refresh", "resolve_function_type"} for context in contexts]
        return (
            inner,
            vars(errors)["_termcolor_inst"],
            typeof._termcolor,
            config.reload_config,
            event.broadcast,
            ir.Inst._rec_list_vars,
            gc.isenabled(),
        )

    @kernel
    def goes_wrong(row):
        return row.nothing

    def over_rows(rows):
        return goes_wrong(rows[0])

    before = state()
    for _ in range(2):
        with pytest.raises(Exception, match="nothing"), numba_parts.compiling(None), numba_parts.compiling(None):
            numba_parts.compiled_driver(over_rows)(np.zeros(1, np.dtype([("some", np.int64)], align=True)))
        assert state() == before


def test_python_can_call_what_drivers_have_compiled():
    from metarl_envs.engine.streams import keyed

    run_both(DarkRoom)
    assert keyed(1, 2, 3, 4) == keyed(1, 2, 3, 4) != keyed(1, 2, 3, 5)


def test_a_kernel_may_depend_on_parameters():
    @kernel
    def stand_still(params, task, state, action, rng):
        return 0.5, False

    class Either(DarkRoom):
        step = ByParameters(lambda p: stand_still if p.size == 5 else DarkRoom.step)

    single, _ = run_both(Either, size=5)
    assert single.step(1)[1] == 0.5
    tasks = TaskSet.of_family(Either, split=None, size=7)
    single = SingleEnv(tasks)
    single.reset(seed=0, options={"task": {"goal": (0, 0)}})
    assert {single.step(1)[1] for _ in range(3)} == {0.0}


TWO_THREADS = """
import numpy as np, metarl_envs
from metarl_envs.histories import lifetime_returns
from metarl_envs.learners import Random
tasks = metarl_envs.tasks("DarkRoom").sample(300)
print(lifetime_returns(tasks, metarl_envs.tasks("DarkRoom").variant, Random(), np.arange(300), episodes=1, workers=2).shape)
"""


@compiled
@pytest.mark.slow
def test_two_threads_may_need_one_driver_for_the_first_time_at_once(tmp_path):
    """Each gives the memory of compiling back when it has compiled, of which there is one."""
    setting = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", TWO_THREADS], env=setting, capture_output=True, text=True)
    assert done.stdout == "(300, 1)\n", done.stderr


# ------------------------------------------------------------------------------------------- what is said meanwhile
def test_compiling_is_announced_once_when_it_takes_long(capfd, tmp_path, monkeypatch):
    monkeypatch.setattr(compile_notice, "_PATIENCE", 0.05)
    notice = compile_notice.CompileNotice()
    for name in ("Quick.begin", "Slow.advance", "Slow.begin"):
        notice.begin(name, tmp_path)
        time.sleep(0.0 if name.startswith("Quick") else 0.2)
        notice.end()
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 1
    assert "compiling Slow.advance" in told[0]
    assert str(tmp_path) in told[0]


def test_little_compiling_is_not_announced(capfd, tmp_path):
    notice = compile_notice.CompileNotice()
    notice.begin("Quick.begin", tmp_path)
    notice.end()
    notice.end()
    assert not capfd.readouterr().err


@compiled
def test_memory_of_compiling_is_given_back():
    """Of the drivers nothing stays but machine code, and no more parts of kernels than are kept for the next driver."""

    class Another(DarkRoom):
        step = fresh("step")  # which no test has compiled

    _, envs = run_both(Another)
    [result] = envs._worlds._go.advance.overloads.values()
    assert result.library._final_module not in result.library._codegen._engine._ee._modules
    assert len(numba_parts._living_parts) <= numba_parts._MOST_PARTS
    envs.step(np.ones(3, np.int64))


@compiled
def test_code_that_reads_named_tuples_is_kept_under_the_names_of_their_fields():
    """Numba's types of them are called alike where fields of one type are exchanged."""
    from numba import typeof
    from numba.core.registry import cpu_target

    pairs = [namedtuple("Pair", names)(1.0, 2.0) for names in ("a b", "b a", "a b")]
    keys = [numba_parts._key((typeof(pair),), cpu_target.target_context) for pair in pairs]
    assert keys[0] == keys[2] != keys[1]
    nested = [numba_parts._key((typeof((1, pair)),), cpu_target.target_context) for pair in pairs]
    assert nested[0] == nested[2] != nested[1]
