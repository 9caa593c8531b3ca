"""Playing: keys into the game, pictures out, and a real window on a dummy screen."""

import subprocess
import sys

import numpy as np
import pytest

from metarl_envs.play import Game
from metarl_envs.play.game import STRIP
from metarl_envs.registration import TABLE

IDS = [row.id for row in TABLE]


def play_out(game, limit=2000):
    """Hold one key, or push one way, until the trial is over."""
    for _ in range(limit):
        if game.over:
            return
        if game.controls.keys:
            assert game.press(next(iter(game.controls.keys)))
        else:
            game.act(game.controls.held(game.env.action_space, {"right"}, None))
    raise AssertionError("the trial has no end")


@pytest.mark.parametrize("id", IDS)
def test_a_trial_by_keys_alone_reveals_the_task_at_its_end(id):
    game = Game(id, seed=1)
    hidden = game.frame()
    assert hidden.shape == (480 + STRIP, 720, 3)
    assert hidden.dtype == np.uint8
    assert game.controls.legend()
    play_out(game)
    assert "oracle" in game.headline()
    assert np.isfinite(game.oracle)
    assert game.frame().shape == hidden.shape
    total, steps_after = game.total, game.env.get_state()
    game.act(game.env.action_space.sample())
    assert game.total == total, "nothing moves after the end"
    assert (game.env.get_state()["worlds"] == steps_after["worlds"]).all()


@pytest.mark.parametrize("id", IDS)
def test_the_same_trial_again_repeats_and_the_next_one_does_not(id):
    game = Game(id, seed=2)
    first_task = game.env.get_state()["task_rows"].copy()
    first = game.frame()
    play_out(game)
    total = game.total
    game.press("r")
    assert (game.frame() == first).all()
    play_out(game)
    assert game.total == total
    tasks = set()
    for _ in range(6):
        game.press("n")
        tasks.add(game.env.get_state()["task_rows"].tobytes())
    assert len(tasks | {first_task.tobytes()}) > 1


def test_the_hidden_task_is_in_no_picture_before_the_end():
    frames = []
    for goal in ((0, 0), (8, 8)):
        game = Game("MetaRL/DarkRoom-v0", seed=0)
        game.env.reset(options={"task": {"goal": goal}})
        frames.append(game.frame())
    assert (frames[0] == frames[1]).all()


def test_pause_stops_keys():
    game = Game("MetaRL/DarkRoom-v0", seed=0)
    game.press("p")
    game.press("left")
    assert "Paused" in game.headline()
    assert int(game.env.get_state()["worlds"]["t"][0]) == 0
    game.press("p")
    game.press("left")
    assert int(game.env.get_state()["worlds"]["t"][0]) == 1


def test_unknown_keys_do_nothing():
    assert not Game("MetaRL/DarkRoom-v0", seed=0).press("f5")


WINDOW = """
import pygame, sys, pathlib
from metarl_envs.play import Game
from metarl_envs.play.window import play
pygame.display.init()
pygame.display.set_mode((1, 1))
game = Game(sys.argv[1], seed=0)
keys = [pygame.K_LEFT, pygame.K_0, pygame.K_s, pygame.K_ESCAPE]
for key in keys:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
play(game, pathlib.Path(sys.argv[2]))
"""


@pytest.mark.parametrize("id", ["MetaRL/DarkRoom-v0", "MetaRL/BernoulliBandit-v0"])
def test_a_window_opens_takes_keys_saves_a_screenshot_and_closes(id, tmp_path, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    done = subprocess.run(
        [sys.executable, "-c", WINDOW, id, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    (screenshot,) = tmp_path.glob("*.png")
    assert screenshot.stat().st_size > 3000
