"""The links of a run: one unguessable token for each place, and one for the experimenter.

They are kept in a file beside the folder of the run, which only its owner may read, so that the same links lead to the same
seats when a host that was killed is started again. They are in no file of the run, and the file is removed when it is whole.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from metarl_envs.files import read_said
from metarl_envs.host.room import Place

FORMAT = "metarl_envs links 2"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Links(NamedTuple):
    """Tokens.

    Attributes:
        places: by place, its token.
        watch: the token of the experimenter.
        port: where the host listens; 0: not known yet.
    """

    places: dict[Place, str]
    watch: str
    port: int = 0


def new_links(places: Sequence[Place]) -> Links:
    """Return a fresh token of 256 bits for each place, and one for the experimenter."""
    return Links({place: secrets.token_urlsafe(32) for place in places}, secrets.token_urlsafe(32))


def file_of(out: Path) -> Path:
    """Return the file that the links of a run are kept in."""
    return out.absolute().with_name(f"{out.absolute().name}.links")


def save(links: Links, path: Path) -> None:
    """Write the links to a file that only its owner may read."""
    aside = path.with_name(f".{path.name}.part-{os.getpid()}")
    aside.unlink(missing_ok=True)
    said = {"format": FORMAT, "port": links.port, "watch": links.watch}
    said |= {"places": [list(place) for place in links.places], "tokens": list(links.places.values())}
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(said, file)
    os.replace(aside, path)


def load(path: Path, places: Sequence[Place]) -> Links:
    """Return the links that were written for these places; ValueError where the file holds others, or none."""
    said = read_said(path, "file of links", FORMAT, {"port": int, "watch": str, "places": list, "tokens": list})
    tokens = [*said["tokens"], said["watch"]]
    are_tokens = all(isinstance(token, str) and _TOKEN.fullmatch(token) for token in tokens)
    if said["places"] != [list(place) for place in places] or len(tokens) != len(places) + 1 or not are_tokens:
        raise ValueError(
            f"{path} holds no links for these {len(places)} places: resume with the same boxes and seats, or remove the file "
            "and send new links"
        )
    if len(set(tokens)) != len(tokens) or not 0 <= said["port"] < 2**16:
        raise ValueError(f"{path} is no file of links: two are alike, or its port is none. Remove it and send new links")
    return Links(dict(zip(places, said["tokens"], strict=True)), said["watch"], said["port"])
