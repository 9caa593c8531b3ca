"""Measure everything and print it as Markdown: `python benchmarks/run.py [--quick] [--only NAME] [--json FILE]`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from timing import FULL, QUICK

#: What can be measured: a name, and the module here that does it.
GROUPS = {
    "vector": "vector_speed",
    "single": "single_speed",
    "wrappers": "wrapper_speed",
    "q_learning": "q_learning_speed",
    "histories": "history_speed",
    "boxes": "box_speed",
    "runs": "run_speed",
    "learners": "learner_speed",
    "task_sets": "task_set_speed",
    "mixture": "mixture_speed",
    "startup": "startup_time",
    "rules": "rules_of_speed",
}


def main() -> None:
    """Measure, print each table when it is ready, and write them all to a file where that is asked for."""
    parser = argparse.ArgumentParser(description="Speed of metarl_envs, as ratios to things measured in the same run.")
    parser.add_argument("--quick", action="store_true", help="under a minute: few repeats, good for nothing but a look")
    parser.add_argument("--only", metavar="NAME", choices=GROUPS, action="append", help=f"repeatable: {', '.join(GROUPS)}")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the tables there too, with all digits")
    arguments = parser.parse_args()
    about = _about()
    print(" | ".join(f"{name}: {value}" for name, value in about.items()), end="\n\n", flush=True)
    done = {}
    for name in arguments.only or GROUPS:
        done[name] = []
        for table in importlib.import_module(GROUPS[name]).tables(QUICK if arguments.quick else FULL):
            print(table, flush=True)
            done[name].append(asdict(table))
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about, "quick": arguments.quick, "groups": done}, indent=2))


def _about() -> dict[str, str]:
    """What the figures depend on."""
    versions = {name: version(name) for name in ("numpy", "numba", "gymnasium", "metarl-envs")}
    return {"processor": _processor(), "cores": str(os.cpu_count()), "python": platform.python_version(), **versions}


def _processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    from metarl_envs.engine.compiling.kernels import PLAIN

    if PLAIN:
        sys.exit("kernels run as plain Python here (no Numba, or NUMBA_DISABLE_JIT is set): there is no speed to measure")
    main()
