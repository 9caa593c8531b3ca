"""Sixty-four language models in sixteen boxes, at an endpoint that takes 500 ms: how much of it is used, and what a turn costs.

    python benchmarks/model_seats.py

The endpoint answers by a script (`examples/scripted_endpoint.py`), in a process of its own. Capacity: 64 replies every 500 ms.
CPU time is that of the process that plays: boxes, words, requests, replies, and the transcript. All boxes step together, so
that capacity is used where all have something to ask: in the first line they wait; in the second they combine things, by a
sentence of two steps, in the second of which a seat asks nothing (and who waits or chats falls out of step with the others).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from metarl_envs import boxes
from metarl_envs.players import LanguageModel

ENDPOINT = Path(__file__).parents[1] / "examples" / "scripted_endpoint.py"
#: 64 seats in all.
BOXES, AGENTS = 16, 4


def measure(seconds: float, horizon: int, *say: str) -> tuple[int, float, float]:
    """Play boxes to the end: turns, wall time and CPU time in seconds."""
    command = [sys.executable, str(ENDPOINT), "--port", "0", "--seconds", str(seconds), *say]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as endpoint, tempfile.TemporaryDirectory() as folder:
        assert endpoint.stdout is not None
        url = endpoint.stdout.readline().split()[2].rstrip(";")
        params = {"preset": "small", "agents": AGENTS, "horizon": horizon, "day": 0}
        try:
            model = LanguageModel("scripted", base_url=url, context="window(4)", retries=0, concurrency=BOXES * AGENTS)
            boxes.forecast("AmnesiaBox", {"all": model}, **params)  # compiles
            written = model.written_to(Path(folder) / "transcript.jsonl")
            wall, cpu = time.perf_counter(), time.process_time()
            boxes.run("AmnesiaBox", {"all": written}, boxes=BOXES, **params)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            return written.counts["requests"], wall, cpu
        finally:
            endpoint.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="that a reply takes")
    parser.add_argument("--horizon", type=int, default=40, help="steps of a box")
    given = parser.parse_args()
    for said in (("--reply", "wait"), ()):
        turns, wall, cpu = measure(given.seconds, given.horizon, *said)
        used = turns * given.seconds / (wall * BOXES * AGENTS)
        print(f"{turns} turns in {wall:.1f} s: {used:.1%} of capacity; {1000 * cpu / turns:.2f} ms of CPU a turn")
