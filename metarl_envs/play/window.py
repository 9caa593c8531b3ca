"""The window: pygame's events into the game, the game's pictures onto the screen, 60 times a second."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from metarl_envs.engine import rendering
from metarl_envs.play.game import STRIP, Game

FRAMES_A_SECOND = 60
#: Steps a second of worlds that move on by themselves.
LIVE_STEPS_A_SECOND = 20


def play(game: Game, screenshots: Path = Path()) -> None:
    """Open a window and play until it is closed. Screenshots go into a folder, by time."""
    import pygame

    pygame.display.init()
    pygame.display.set_caption(f"metarl_envs: {game.env.variant.name}")
    size = rendering.WIDTH, rendering.HEIGHT + STRIP
    screen = pygame.display.set_mode(size, pygame.RESIZABLE | pygame.SCALED)
    clock = pygame.time.Clock()
    picture, moved, since_step = _surface(pygame, game), False, 0.0
    while True:
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                pygame.display.quit()
                return
            if event.type == pygame.KEYDOWN:
                key = pygame.key.name(event.key)
                if key == "escape":
                    pygame.display.quit()
                    return
                if key == "s":
                    _save(pygame, _surface(pygame, game), screenshots, game.env.variant.name)
                moved |= game.press(key)
        since_step += clock.tick(FRAMES_A_SECOND) / 1000
        if since_step >= 1 / LIVE_STEPS_A_SECOND and not (game.paused or game.over):
            moved |= _live_step(pygame, game)
            since_step = 0.0
        if moved:
            picture, moved = _surface(pygame, game), False
        screen.blit(picture, (0, 0))
        pygame.display.flip()


def _surface(pygame: Any, game: Game) -> Any:
    return pygame.surfarray.make_surface(np.transpose(game.frame(), (1, 0, 2)))


def _live_step(pygame: Any, game: Game) -> bool:
    """Act by what is held down: every moment where the world moves on by itself, else only while something is held."""
    space = game.env.action_space
    if not isinstance(space, Box):
        return False
    state = pygame.key.get_pressed()
    pressed = {key for key in game.controls.axes if state[pygame.key.key_code(key)]}
    mouse = None
    if pygame.mouse.get_pressed()[0]:
        x, y = pygame.mouse.get_pos()
        mouse = 2 * x / rendering.WORLD - 1, 2 * y / rendering.WORLD - 1
    if not (pressed or mouse or game.controls.live):
        return False
    game.act(game.controls.held(space, pressed, mouse))
    return True


def _save(pygame: Any, picture: Any, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.png"
    pygame.image.save(picture, str(path))
    print(f"written: {path}")
