"""Playing the families oneself: in a window, or as text."""

from metarl_envs.play.controls import Controls
from metarl_envs.play.game import Game

__all__ = ["Controls", "Game"]
