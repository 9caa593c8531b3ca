"""The scripted agents of all boxes, by name: whoever writes another puts its table here."""

from __future__ import annotations

from metarl_envs.boxes.players.coder import Coder
from metarl_envs.boxes.players.hazardous import HAZARDOUS
from metarl_envs.boxes.players.scientists import SCIENTISTS
from metarl_envs.boxes.players.scripted import SCRIPTED, Scripted

AGENTS: dict[str, Scripted] = {**SCRIPTED, "coder": Coder(), **HAZARDOUS, **SCIENTISTS}
