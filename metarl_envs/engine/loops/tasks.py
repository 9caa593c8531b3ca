"""The loops over tasks alone."""

from __future__ import annotations

from types import SimpleNamespace

from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.trial import trial_parts
from metarl_envs.engine.splits import EVERY_PART, part_of
from metarl_envs.engine.streams import TASK, keyed


def task_drivers(variant: Variant) -> SimpleNamespace:
    """Drivers over tasks alone: `draw` fills rows; `hashes` says what each means, and which part it is in."""
    made = trial_parts(variant)
    draw_task, meaning, in_every_part = made.draw_task, made.meaning, made.in_every_part

    def draw(params, parts, seed, first, tasks, words, rng):
        """The tasks that an environment of this seed draws in its trials first, first + 1, ..."""
        for i in range(len(tasks)):
            rng[0].s = keyed(seed, TASK, first + i, 0)
            draw_task(params[0], parts, tasks, words, i, rng[0])

    def hashes(params, tasks, words, out, parts):
        """What each task means, as 64 bits, and the part it is in, as a bit; all bits for one that is in every part."""
        for i in range(len(tasks)):
            h = meaning(params[0], tasks[i], words, i)
            out[i] = h
            parts[i] = EVERY_PART if in_every_part(params[0], tasks[i]) else part_of(h)

    return compiled(variant.name, draw, hashes)
