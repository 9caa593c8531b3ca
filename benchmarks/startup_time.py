"""What the first step of a fresh process costs: imports, compiling, and loading what was compiled before."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from timing import Effort, Table

_FIRST_STEP = Path(__file__).with_name("first_step.py")


#: Whose first step is told in seconds of the processor, from little to compile to much.
_COMPILED = ("DarkRoom", "InventionBox", "AmnesiaBox", "GenerationsBox", "HazardBox", "SealedBox")
_WORLDS = 4_096


def tables(effort: Effort) -> list[Table]:
    """One table of Dark Room in all parts, and one of what is compiled for a first step, family by family."""
    return [_parts(effort), _compiled(effort)]


def _parts(effort: Effort) -> Table:
    imports: dict[str, list[float]] = defaultdict(list)
    firsts: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for process in range(effort.processes):
            for kind, worlds in (("single", 0), ("vector", 4)):
                cache = Path(folder, f"{kind} {process}")
                for state in "cold", "warm":  # the second finds what the first compiled
                    seconds = _first_step("DarkRoom", worlds, cache)
                    firsts[f"first make, reset and step: {kind}, {state}"].append(seconds["first step"])
                    for name, time in seconds.items():
                        if name.startswith("import"):
                            imports[name].append(time)
    rows = [[name, min(times), statistics.median(times), f"{len(times)}"] for name, times in (imports | firsts).items()]
    note = (
        "Each import comes on top of the ones above it, and the first step on top of all three (metarl_envs alone imports no "
        "Numba). Cold: an empty compile cache; warm: what the cold process left there."
    )
    return Table("Start-up in fresh processes, seconds", ("what", "best", "median", "processes"), rows, note)


def _compiled(effort: Effort) -> Table:
    names = _COMPILED[:1] if effort.quick else _COMPILED
    times: dict[tuple[str, int], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for process in range(effort.processes):
            for name in names:
                for worlds in (0, _WORLDS):
                    seconds = _first_step(name, worlds, Path(folder, f"{name} {worlds} {process}"))
                    times[name, worlds].append(seconds["processor"])
    rows = [[name, min(times[name, 0]), min(times[name, _WORLDS]), f"{effort.processes}"] for name in names]
    note = (
        "Make, reset and step with an empty compile cache. Nearly all of it is compiling, but boxes of many recipes take a "
        "second or three to grow thousands of trees. The best of several processes."
    )
    columns = ("what", "single", f"{_WORLDS:,} rows", "processes")
    return Table("First step of a fresh process, seconds of the processor", columns, rows, note)


def _first_step(name: str, worlds: int, cache: Path) -> dict[str, float]:
    """Seconds of each part, in a process of its own with this compile cache."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, _FIRST_STEP, name, str(worlds)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)
