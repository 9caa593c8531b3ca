"""Sixty-four language models in sixteen boxes, at an endpoint that takes 500 ms: how much of it is used, and what a turn costs.

    python benchmarks/model_seats.py

The endpoint answers by a script (`examples/scripted_endpoint.py`), in a process of its own. Capacity: 64 replies at any time.
CPU time is that of the process that plays: boxes, words, requests, replies, and the transcript.

In a step of a box all act at once, so that who has acted waits for the slowest reply in its box. In the first line all have
something to ask in each step, and replies take equally long: all of the capacity can be used. In the second, replies take up to
half as long again, or half as long. In the third, the models combine things, by a sentence of two steps, in the second of which
a seat asks nothing; who waits or chats falls out of step with the others. The fastest that is possible is the sum over steps of
the longest reply in each, of the box in which it is largest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from metarl_envs import boxes
from metarl_envs.players import LanguageModel

ENDPOINT = Path(__file__).parents[1] / "examples" / "scripted_endpoint.py"
#: 64 seats in all.
BOXES, AGENTS = 16, 4


class Measured(NamedTuple):
    """Replies, wall and CPU time in seconds, and the least wall time that is possible."""

    turns: int
    wall: float
    cpu: float
    least: float


def measure(seconds: float, horizon: int, *say: str) -> Measured:
    """Play boxes to the end."""
    command = [sys.executable, str(ENDPOINT), "--port", "0", "--seconds", str(seconds), *say]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as endpoint, tempfile.TemporaryDirectory() as folder:
        assert endpoint.stdout is not None
        url = endpoint.stdout.readline().split()[2].rstrip(";")
        params = {"preset": "small", "agents": AGENTS, "horizon": horizon, "day": 0}
        try:
            model = LanguageModel("scripted", base_url=url, context="window(4)", retries=0, concurrency=BOXES * AGENTS)
            boxes.forecast("AmnesiaBox", {"all": model}, **params)  # compiles
            transcript = Path(folder) / "transcript.jsonl"
            written = model.written_to(transcript)
            wall, cpu = time.perf_counter(), time.process_time()
            boxes.run("AmnesiaBox", {"all": written}, boxes=BOXES, **params)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            return Measured(written.counts["requests"], wall, cpu, least(transcript))
        finally:
            endpoint.terminate()


def least(transcript: Path) -> float:
    """The sum of the longest replies in each step, in that box where it is largest."""
    longest: defaultdict[int, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
    for line in transcript.read_text().splitlines()[1:]:
        entry = json.loads(line)
        seed, _, step, _ = entry["key"]
        longest[seed][step] = max(longest[seed][step], entry["seconds"])
    return max(sum(steps.values()) for steps in longest.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="that a reply takes")
    parser.add_argument("--horizon", type=int, default=40, help="steps of a box")
    given = parser.parse_args()
    for said in (("--reply", "wait"), ("--reply", "wait", "--jitter", "0.5"), ("--jitter", "0.5")):
        found = measure(given.seconds, given.horizon, *said)
        print(
            f"{found.turns} turns in {found.wall:.1f} s: {found.turns * given.seconds / (found.wall * BOXES * AGENTS):.1%} of "
            f"capacity, {found.least / found.wall:.1%} of what is possible where all act at once; "
            f"{1000 * found.cpu / found.turns:.2f} ms of CPU a turn",
            flush=True,
        )
