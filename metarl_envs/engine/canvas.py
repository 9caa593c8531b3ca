"""The canvas: shapes, text and one palette of colours, in a picture of constant size.

Pictures are drawn off screen with pygame-ce at twice their size and scaled down, so that edges are smooth. Nothing here
opens a window. Another environment may call `pygame.quit()` at any time; only fonts mind, and they are made again.
"""

from __future__ import annotations

import bisect
import functools
import io
import math
from typing import Any

import numpy as np

#: Width and height of a picture, and the side of the square in which the world is drawn.
WIDTH, HEIGHT, WORLD = 720, 480, 480
_SCALE = 2

Color = tuple[int, int, int]

#: One palette for all families (dark, so that a hidden thing looks hidden).
BACKGROUND: Color = (22, 24, 33)
PANEL: Color = (30, 33, 45)
FLOOR: Color = (40, 44, 60)
LINES: Color = (56, 61, 82)
TEXT: Color = (226, 229, 240)
MUTED: Color = (142, 149, 173)
AGENT: Color = (92, 172, 255)
GOAL: Color = (255, 196, 77)
GOOD: Color = (94, 211, 148)
BAD: Color = (240, 104, 112)
ACCENT: Color = (184, 148, 255)


class Picture:
    """A canvas with the origin at the top left and lengths in pixels of the finished picture."""

    def __init__(self, width: int = WIDTH, height: int = HEIGHT):
        self.width, self.height = width, height
        self._pygame = _pygame()
        self.surface = self._pygame.Surface((width * _SCALE, height * _SCALE))
        self.surface.fill(BACKGROUND)

    def rectangle(self, x: float, y: float, width: float, height: float, color: Color, radius: float = 0) -> None:
        """Draw a filled rectangle, with rounded corners if wished."""
        box = [round(v * _SCALE) for v in (x, y, width, height)]
        self._pygame.draw.rect(self.surface, color, box, border_radius=round(radius * _SCALE))

    def outline(self, x: float, y: float, width: float, height: float, color: Color, thickness: float = 2) -> None:
        """Draw the border of a rectangle."""
        box = [round(v * _SCALE) for v in (x, y, width, height)]
        self._pygame.draw.rect(self.surface, color, box, width=max(1, round(thickness * _SCALE)), border_radius=6)

    def circle(self, x: float, y: float, radius: float, color: Color) -> None:
        """Draw a filled circle."""
        self._pygame.draw.circle(self.surface, color, (x * _SCALE, y * _SCALE), radius * _SCALE)

    def line(self, x0: float, y0: float, x1: float, y1: float, color: Color, thickness: float = 2) -> None:
        """Draw a straight line."""
        ends = (x0 * _SCALE, y0 * _SCALE), (x1 * _SCALE, y1 * _SCALE)
        self._pygame.draw.line(self.surface, color, *ends, max(1, round(thickness * _SCALE)))

    def star(self, x: float, y: float, radius: float, color: Color) -> None:
        """Draw a five-pointed star."""
        corners = []
        for i in range(10):
            r = radius if i % 2 == 0 else 0.42 * radius
            angle = math.pi * (i / 5 - 0.5)
            corners.append(((x + r * math.cos(angle)) * _SCALE, (y + r * math.sin(angle)) * _SCALE))
        self._pygame.draw.polygon(self.surface, color, corners)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: int = 16,
        color: Color = TEXT,
        align: str = "left",
        room: float | None = None,
    ) -> float:
        """One line of text; `x` is its left end, middle or right end as `align` says, `y` its top. Gives its width.

        Where it is wider than `room`, it ends in dots.
        """
        font = _font(size * _SCALE)
        image = font.render(text if room is None else _shortened(font, text, room * _SCALE), True, color)
        shift = {"left": 0.0, "center": 0.5, "right": 1.0}[align]
        self.surface.blit(image, (round(x * _SCALE - shift * image.get_width()), round(y * _SCALE)))
        return image.get_width() / _SCALE

    def arrow(self, x: float, y: float, radius: float, direction: str, color: Color) -> None:
        """Draw a triangle that points left, right, up or down."""
        turn = {"right": 0, "down": 1, "left": 2, "up": 3}[direction] * math.pi / 2
        corners = [(math.cos(turn + k * 2.2) * radius, math.sin(turn + k * 2.2) * radius) for k in (-1, 0, 1)]
        self._pygame.draw.polygon(self.surface, color, [((x + dx) * _SCALE, (y + dy) * _SCALE) for dx, dy in corners])

    def key_cap(self, x: float, y: float, key: str, meaning: str) -> float:
        """Draw a key of the keyboard and what it does, and return the width of both."""
        arrow = key in ("left", "right", "up", "down")
        width = 22 if arrow or len(key) == 1 else 12 + 7.5 * len(key)
        self.rectangle(x, y, width, 20, LINES, 4)
        if arrow:
            self.arrow(x + width / 2, y + 10, 6, key, TEXT)
        else:
            self.text(x + width / 2, y + 3, key, size=13, align="center")
        return width + 6 + self.text(x + width + 6, y + 3, meaning, size=13, color=MUTED)

    def array(self) -> np.ndarray:
        """Return the finished picture: uint8 of shape (height, width, 3), memory of its own."""
        return np.ascontiguousarray(np.transpose(self._pygame.surfarray.pixels3d(self._finished()), (1, 0, 2)))

    def png(self) -> bytes:
        """Return the finished picture as the bytes of a PNG file."""
        file = io.BytesIO()
        self._pygame.image.save(self._finished(), file, "picture.png")
        return file.getvalue()

    def _finished(self) -> Any:
        return self._pygame.transform.smoothscale(self.surface, (self.width, self.height))


def _shortened(font: Any, text: str, room: float) -> str:
    """As much of a text as is no wider, with dots in place of the rest."""
    if font.size(text)[0] <= room:
        return text
    fits = bisect.bisect_right(range(len(text)), room, key=lambda count: font.size(f"{text[:count]}...")[0])
    return f"{text[: max(0, fits - 1)]}..."


def _pygame() -> Any:
    try:
        import pygame
    except ImportError:
        from gymnasium.error import DependencyNotInstalled

        raise DependencyNotInstalled("pictures need pygame-ce: pip install pygame-ce") from None
    return pygame


def _font(size: int) -> Any:
    """The font of a size, made again if some other environment has quit pygame since."""
    pygame = _pygame()
    if not pygame.font.get_init():
        pygame.font.init()
        _made_fonts.cache_clear()
    font = _made_fonts(size)
    try:
        font.get_height()
    except pygame.error:  # quit and initialised again in the meantime
        _made_fonts.cache_clear()
        font = _made_fonts(size)
    return font


@functools.lru_cache(maxsize=32)
def _made_fonts(size: int) -> Any:
    return _pygame().font.Font(None, round(size * 1.25))
