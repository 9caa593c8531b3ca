"""What is looked at within a network while it runs, and what is changed there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from metarl_envs.players.told import Step

#: Takes the stream behind a layer, float32 [row, width], and what the players were told, and returns what is to stand there.
Intervention = Callable[[np.ndarray, Step], np.ndarray]


class Stream:
    """The stream of numbers that runs through the layers of a network at one step: kept, and changed where that is asked for.

    Args:
        interventions: by layer.
        step: what the players were told.

    Attributes:
        layers: the stream behind each layer, as it goes on to the next, [row, width] each.
    """

    def __init__(self, interventions: Mapping[int, Intervention], step: Step):
        self._interventions, self._step = interventions, step
        self.layers: list[np.ndarray] = []

    def behind(self, numbers: np.ndarray) -> np.ndarray:
        """Return what goes on behind the next layer.

        Raises:
            ValueError: an intervention returned numbers of another shape.
        """
        layer = len(self.layers)
        if layer in self._interventions:
            changed = np.asarray(self._interventions[layer](numbers.copy(), self._step), numbers.dtype)
            if changed.shape != numbers.shape:
                raise ValueError(
                    f"interventions[{layer}] returned an array of shape {changed.shape}; the stream has {numbers.shape}"
                )
            numbers = changed
        self.layers.append(numbers)
        return numbers


def checked(interventions: Mapping[int, Intervention] | None, layers: int) -> dict[int, Intervention]:
    """Return interventions by layer.

    Args:
        interventions: None for none.
        layers: how many layers there are behind which a stream can be changed.

    Raises:
        ValueError: there is no such layer.
        TypeError: one cannot be called.
    """
    found = dict(interventions or {})
    for layer, change in found.items():
        if layer not in range(layers):
            raise ValueError(f"interventions has the layer {layer!r}; there are those from 0 to {layers - 1}")
        if not callable(change):
            raise TypeError(f"interventions[{layer}]={change!r} must be a function of the stream and the step")
    return found
