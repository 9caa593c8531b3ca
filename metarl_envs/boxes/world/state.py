"""The state of a box: one row, made of the fields of the core and of mechanisms."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from metarl_envs.boxes.world.core import core_fields
from metarl_envs.boxes.world.mechanisms import mechanisms_of
from metarl_envs.engine import record


def box_record(p: SimpleNamespace) -> np.dtype:
    """The state of a box under parameters `p`."""
    fields = core_fields(p)
    for mechanism in mechanisms_of(p):
        fields |= mechanism.fields(p)
    return record(**fields)
