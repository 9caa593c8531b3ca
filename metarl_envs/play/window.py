"""The window: pygame's events into the game, the game's pictures onto the screen whenever they change."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

FRAMES_A_SECOND = 60
#: Keys that stand for another one: plus, where it needs shift.
_ALIKE = {"=": "+"}


class Playable(Protocol):
    """What a window needs of a game. It hands over what the hands do, and shows what `frame` gives."""

    title: str

    def press(self, key: str) -> bool:
        """Take a key (as pygame names it), or "mouse", that goes down, and return whether there may be something new to see."""
        ...

    def release(self, key: str) -> None:
        """Let a key, or "mouse", go up."""
        ...

    def point(self, x: float, y: float) -> None:
        """Move the mouse to a place, in pixels of `frame`."""
        ...

    def look_away(self) -> None:
        """Keys and mouse go to another window from now on."""
        ...

    def tick(self, seconds: float) -> bool:
        """Time goes by; whether there is something new to see."""
        ...

    def tell(self, notice: str) -> None:
        """Show a notice of the window."""
        ...

    def frame(self) -> np.ndarray:
        """Return the screen: uint8 [height, width, 3], always of the same size."""
        ...


def play(game: Playable, screenshots: Path = Path()) -> None:
    """Open a window and play until it is closed. Screenshots go into a folder, by time.

    Raises:
        ValueError: there is no screen to open a window on.
    """
    import pygame

    try:
        see_that_there_is_a_screen()
        _Window(pygame, game, screenshots).run()
    finally:
        pygame.display.quit()


def fit(picture: tuple[int, int], window: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of a picture in a window: in the middle, as large as it can be, in its own shape."""
    scale = min(window[0] / picture[0], window[1] / picture[1])
    width, height = max(1, round(picture[0] * scale)), max(1, round(picture[1] * scale))
    return (window[0] - width) // 2, (window[1] - height) // 2, width, height


def first_size(picture: tuple[int, int], desktop: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a window: a picture's, or one and a half, two, ... times it, as the desktop has room; or less."""
    room = min(0.9 * desktop[0] / picture[0], 0.9 * desktop[1] / picture[1])
    scale = room if room < 1 else int(2 * room) / 2
    return round(picture[0] * scale), round(picture[1] * scale)


def see_that_there_is_a_screen() -> None:
    """Refuse to go on where there is none: SDL would draw into memory, without a word, a window that nobody ever sees.

    Raises:
        ValueError: there is no screen to open a window on.
    """
    import pygame

    try:
        pygame.display.init()
        problem = pygame.display.get_driver() == "offscreen" and "SDL_VIDEODRIVER" not in os.environ
    except pygame.error:
        problem = True
    if problem:
        raise ValueError("there is no screen to open a window on (on Linux: DISPLAY or WAYLAND_DISPLAY must name one)")


class _Window:
    def __init__(self, pygame: Any, game: Playable, screenshots: Path):
        self.pygame, self.game, self.screenshots = pygame, game, screenshots
        self.size = self._picture().get_size()
        self.down: dict[int, str] = {}  # what each key that is held down was called when it went down
        pygame.display.set_caption(game.title)
        pygame.display.set_mode(first_size(self.size, pygame.display.get_desktop_sizes()[0]), pygame.RESIZABLE)

    def run(self) -> None:
        """Until the window is closed."""
        clock, changed = self.pygame.time.Clock(), True
        while True:
            for event in self.pygame.event.get():
                key = self._key(event) if event.type == self.pygame.KEYDOWN else ""
                if event.type == self.pygame.QUIT or key == "escape":
                    return
                if key == "s":
                    self.game.tell(self._save())
                    changed = True
                else:
                    changed |= self._hand_over(event, key)
            if changed:
                self._show()
            changed = self.game.tick(clock.tick(FRAMES_A_SECOND) / 1000)

    def _hand_over(self, event: Any, key: str) -> bool:
        """Give one event to the game; whether there may be something new to see."""
        pygame, game = self.pygame, self.game
        if event.type == pygame.KEYDOWN:
            self.down[event.key] = key  # with shift let go first, a sign's key would go up under another name
            return game.press(key)
        if event.type == pygame.KEYUP:
            game.release(self.down.pop(event.key, ""))
        elif event.type == pygame.MOUSEMOTION:
            game.point(*self._place(event.pos))
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            game.point(*self._place(event.pos))
            return game.press("mouse")
        elif event.type == pygame.MOUSEBUTTONUP and event.button == 1:
            game.release("mouse")
        elif event.type == pygame.WINDOWFOCUSLOST:
            game.look_away()
            return True
        return event.type in (pygame.WINDOWSIZECHANGED, pygame.WINDOWEXPOSED)

    def _key(self, event: Any) -> str:
        """What a key that goes down is called: digits and signs by what they write, wherever they are; others by their name."""
        written = getattr(event, "unicode", "")
        name = written if written and written in "0123456789+-" else self.pygame.key.name(event.key)
        return _ALIKE.get(name, name)

    def _place(self, pos: tuple[int, int]) -> tuple[float, float]:
        """A place of the window, in pixels of the picture."""
        left, top, width, height = fit(self.size, self.pygame.display.get_window_size())
        return (pos[0] - left) * self.size[0] / width, (pos[1] - top) * self.size[1] / height

    def _picture(self) -> Any:
        frame = self.game.frame()
        return self.pygame.image.frombytes(frame.tobytes(), frame.shape[1::-1], "RGB")

    def _show(self) -> None:
        screen, picture = self.pygame.display.get_surface(), self._picture()
        left, top, width, height = fit(self.size, screen.get_size())
        screen.fill(0)
        if (width, height) != self.size:
            picture = self.pygame.transform.smoothscale(picture, (width, height))
        screen.blit(picture, (left, top))
        self.pygame.display.flip()

    def _save(self) -> str:
        """Write what is to be seen into a new file; what to say about it."""
        stem = f"{self.game.title.split()[-1]}-{time.strftime('%Y%m%d-%H%M%S')}"
        try:
            self.screenshots.mkdir(parents=True, exist_ok=True)
            names = (self.screenshots / f"{stem}{again}.png" for again in ["", *(f"-{i}" for i in range(2, 1000))])
            path = next(path for path in names if not path.exists())
            self.pygame.image.save(self._picture(), str(path))
        except (OSError, self.pygame.error) as error:
            return f"No screenshot: {error}"
        print(f"written: {path}")
        return f"Screenshot saved as {path.name}"
