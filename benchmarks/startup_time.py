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


def tables(effort: Effort) -> list[Table]:
    """One table."""
    imports: dict[str, list[float]] = defaultdict(list)
    firsts: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for process in range(effort.processes):
            for kind in "single", "vector":
                cache = Path(folder, f"{kind} {process}")
                for state in "cold", "warm":  # the second finds what the first compiled
                    seconds = _first_step(kind, cache)
                    firsts[f"first make, reset and step: {kind}, {state}"].append(seconds.pop("first step"))
                    for name, time in seconds.items():
                        imports[name].append(time)
    rows = [[name, min(times), statistics.median(times), f"{len(times)}"] for name, times in (imports | firsts).items()]
    note = (
        "Each import comes on top of the ones above it, and the first step on top of all three (metarl_envs alone imports no "
        "Numba). Cold: an empty compile cache; warm: what the cold process left there."
    )
    return [Table("Start-up in fresh processes, seconds", ("what", "best", "median", "processes"), rows, note)]


def _first_step(kind: str, cache: Path) -> dict[str, float]:
    """Seconds of each part, in a process of its own with this compile cache."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run([sys.executable, _FIRST_STEP, kind], env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)
