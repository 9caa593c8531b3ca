"""The scripted agents of all boxes, by name: whoever writes another puts it here, or its table."""

from __future__ import annotations

from metarl_envs.boxes.players.coder import Coder
from metarl_envs.boxes.players.hazardous import HAZARDOUS
from metarl_envs.boxes.players.keepers import NoteKeeper
from metarl_envs.boxes.players.scientists import SCIENTISTS
from metarl_envs.boxes.players.scripted import Greedy, NeverRepeat, Oracle, Random, RuleFinder, Scripted

#: By name, the scripted agents that every box has.
SCRIPTED: dict[str, Scripted] = {
    "random": Random(),
    "never_repeat": NeverRepeat(),
    "greedy": Greedy(),
    "rule_finder": RuleFinder(),
    "oracle": Oracle(),
    "notes_none": NoteKeeper(keep="none"),
    "notes_fifo": NoteKeeper(keep="fifo"),
    "notes_best_path": NoteKeeper(keep="best_path"),
    "notes_verify_first": NoteKeeper(keep="all", verify=True),
    "notes_unlimited": NoteKeeper(keep="all"),
}
#: The same of all boxes.
AGENTS: dict[str, Scripted] = {**SCRIPTED, "coder": Coder(), **HAZARDOUS, **SCIENTISTS}
