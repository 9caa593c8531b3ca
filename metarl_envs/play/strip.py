"""The strip below the picture that says what is going on and which keys there are."""

from __future__ import annotations

from functools import lru_cache

from metarl_envs.engine import Picture, canvas

#: Its height, where its text begins, and how wide that may be.
STRIP, LEFT, TEXT_WIDTH = 140, 24, canvas.WIDTH - 48
#: Steps a second that one can choose from where steps follow one another.
SPEEDS = (2, 5, 10, 15, 20, 30, 50)


def draw_keys(strip: Picture, y: float, legend: list[tuple[tuple[str, ...], str]]) -> None:
    """Draw which keys mean what, side by side."""
    x = float(LEFT)
    for keys, meaning in legend:
        for key in keys:
            x += strip.key_cap(x, y, key, "") - 2
        x += strip.text(x + 2, y + 3, meaning, size=13, color=canvas.MUTED) + 16


@lru_cache(maxsize=64)
def fitted_lines(text: str, size: int, most: int) -> tuple[str, ...]:
    """Return a text broken into lines that fit the strip; what does not fit is left out, and dots say so."""
    ruler, lines = Picture(1, 1), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if ruler.text(0, 0, longer, size) <= TEXT_WIDTH - 12:
            lines[-1] = longer
        elif len(lines) < most:
            lines.append(word)
        else:
            lines[-1] += " ..."
            break
    return tuple(lines)
