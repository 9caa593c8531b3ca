"""Two rules of what is compiled in a test run, one of how often it looks for garbage, and a run of a minute.

* Tests marked `plain` run as ordinary Python: in a process of their own (see test_plain_mode.py), or in a plain run.
* A whole everyday run needs at most `MOST_DRIVERS` compiled drivers, which is what it takes its time for where none is compiled
  yet. They are counted over all workers, whether they are compiled or loaded.
* What was imported and collected is looked through for garbage no more, and the rest seldom: that took a tenth of the time.
"""

import gc
import os

import pytest

from metarl_envs.engine.compiling import cache
from metarl_envs.engine.compiling.kernels import PLAIN
from tests.worlds import SELDOM_COMPILED

MOST_DRIVERS = 345
EVERYDAY, SLOWLY = "not slow", "slow and not nightly"
ALL_THAT_IS_PLAIN = {
    "test_what_is_marked_plain_passes_as_ordinary_python",
    "test_what_is_marked_plain_and_slow_passes_as_ordinary_python",
}
SLOW = "\npytestmark = pytest.mark.slow\n"
#: Files of tests that between them go through most of the package in a minute: `pytest -m smoke`.
SMOKE = {
    *("test_architecture.py", "test_names.py", "test_streams.py", "test_trial_contract.py", "test_golden.py"),
    *("test_composing.py", "test_dict_observations.py", "test_histories.py", "test_boxes_verbs.py"),
}
asked_for: set[str] = set()


def pytest_ignore_collect(collection_path, config):
    """An everyday run does not read files of slow tests alone: what they import takes seconds. A smoke run reads its own."""
    if collection_path.suffix != ".py":
        return None
    if config.option.markexpr == "smoke":
        return collection_path.name not in SMOKE or None
    return (whole_tier(config) == EVERYDAY and SLOW in collection_path.read_text()) or None


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.path.name in SMOKE and not item.get_closest_marker("slow"):
            item.add_marker("smoke")
        if item.get_closest_marker("nightly") or (is_seldom_compiled(item) and not item.get_closest_marker("plain")):
            item.add_marker("slow")
    if PLAIN:
        return
    items.sort(key=lambda item: item.name not in ALL_THAT_IS_PLAIN)  # they take minutes: who begins with them is not last
    left_out = [item for item in items if item.get_closest_marker("plain")]
    items[:] = [item for item in items if not item.get_closest_marker("plain")]
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """One worker more than there are cores where CI runs all: a sixth of the time is waiting for disks and processes."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):  # which xdist reads itself
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + (whole_tier(config) in (EVERYDAY, SLOWLY))


def pytest_collection_finish():
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def pytest_configure():
    load = cache._Kept.load

    def load_and_count(kept, key):
        asked_for.add(kept._file(key).name)
        return load(kept, key)

    cache._Kept.load = load_and_count


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    asked_for.update(getattr(node, "workeroutput", {}).get("drivers", ()))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # of a worker: hand it to the one that distributes
        session.config.workeroutput["drivers"] = sorted(asked_for)
    elif whole_tier(session.config) == EVERYDAY and len(asked_for) > MOST_DRIVERS:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if asked_for:
        terminalreporter.write_line(f"compiled drivers: {len(asked_for)}, of at most {MOST_DRIVERS} in a whole everyday run")
        if whole_tier(config) == EVERYDAY and len(asked_for) > MOST_DRIVERS:
            terminalreporter.write_line(
                "FAILED: tests need too many compiled drivers: let them share layouts, or mark them `plain`", red=True
            )


def is_seldom_compiled(item):
    """Whether a test is given an id that only slow tests compile."""
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return any(isinstance(value, str) and value.removeprefix("metarl_envs:") in SELDOM_COMPILED for value in given)


def whole_tier(config):
    """Which tests are asked for, where it is all of those; otherwise None."""
    whole = config.args == config.getini("testpaths") and not config.option.keyword
    return config.option.markexpr if whole else None
