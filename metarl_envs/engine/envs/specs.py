"""What `env.spec` says: the arguments as they were checked, so that it can be written as JSON and made again."""

from __future__ import annotations

import copy
import enum
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from metarl_envs.engine.family import Variant


def checked_spec(spec: EnvSpec | None, variant: Variant) -> EnvSpec | None:
    """Return a copy of a spec with arguments in Python's own values: parameters as they were checked, enums by value."""
    if spec is None:
        return None
    spec = copy.copy(spec)
    spec.kwargs = {name: variant.values.get(name, _plain(value)) for name, value in spec.kwargs.items()}
    return spec


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return value.value if isinstance(value, enum.Enum) else value
