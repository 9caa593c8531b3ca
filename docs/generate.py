"""Makes the pages that follow from docstrings and tables, each time the site is built. Nothing of it is committed.

MkDocs calls `on_config`, `on_files` and `on_page_markdown`. A page's text is what the catalogues of the two packages read
from docstrings; numbers and pictures are computed from the families themselves.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import metarl_envs
from metarl_envs.catalogue import Entry, entries
from metarl_envs.engine import Player, Variant
from metarl_envs.engine.truth.solving import exact_returns
from metarl_envs.evaluation.references import scale_of
from metarl_envs.histories import collect
from metarl_envs.ids import TABLE
from metarl_envs.learners.named import suitable_players
from metarl_envs.players.networks.shipped import DIGESTS, card
from metarl_wrappers.catalogue import catalogue, names

ROOT = Path(__file__).parents[1]
#: Pages that stand in the root of the repository.
_FROM_ROOT = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
#: Tasks over which returns are averaged, lives of which one is shown, and episodes in a life.
_TASKS, _LIVES, _EPISODES = 100, 20, 8
#: Who is shown in a picture, where the family has no policy of its own that learns: the first of these that fits.
_SHOWN = ("thompson", "gaussian_thompson", "lin_ucb", "psrl", "oracle")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page for each family and each wrapper into the navigation."""
    families = ["families/index.md", *(f"families/{_name(row.id)}.md" for row in TABLE)]
    wrappers = ["wrappers/index.md", *(f"wrappers/{name}.md" for name in names())]
    pages = {"Families": families, "Wrappers": wrappers}
    config.nav = [{title: pages.get(title, page) for title, page in part.items()} for part in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and pictures."""
    for path, content in [*_families(), *_wrapper_pages()]:
        files.append(File.generated(config, path, content=content))
    for path, source in _FROM_ROOT.items():
        files.append(File.generated(config, path, content=_with_links((ROOT / source).read_text())))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in what a page asks for."""
    filled = {
        "<!-- commands -->": _commands,
        "<!-- gallery -->": lambda: _gallery("families/"),
        "<!-- cards -->": _cards_of_networks,
    }
    for marker, fill in filled.items():
        if marker in markdown:
            markdown = markdown.replace(marker, fill())
    return markdown


# ------------------------------------------------------------------------------------------------ families
@functools.cache
def _entries() -> tuple[Entry, ...]:
    return tuple(entries())


def _name(id: str) -> str:
    """The name of a page: `MetaRL/DarkRoom-v0` is on page DarkRoom."""
    return id.removeprefix("MetaRL/").removesuffix("-v0")


def _families() -> Iterator[tuple[str, str | bytes]]:
    """Every family's page and picture, and their gallery."""
    yield "families/index.md", f"# Families\n\n{_gallery()}\n"
    for entry in _entries():
        picture, caption = _scene(entry)
        yield f"families/{_name(entry.id)}.md", _family_page(entry, caption)
        yield f"families/{_name(entry.id)}.png", picture


def _gallery(folder: str = "") -> str:
    """A card for each family, by kind."""
    kinds = dict.fromkeys(entry.kind for entry in _entries())
    return "\n\n".join(_cards(kind, folder) for kind in kinds)


def _cards(kind: str, folder: str) -> str:
    cards = []
    for entry in (entry for entry in _entries() if entry.kind == kind):
        name, summary = _name(entry.id), " ".join(entry.summary.split())
        page, picture = f"{folder}{name}.md", f"{folder}{name}.png"
        cards.append(f"-   [![{name}]({picture})]({page})\n\n    **[{name}]({page})**\n\n    {summary}\n\n")
    return f'### {kind.capitalize()}\n\n<div class="grid cards" markdown>\n\n{"".join(cards)}</div>'


def _family_page(entry: Entry, caption: str) -> str:
    """Summary, picture, how to make it, figures, and what the docstring says under each heading."""
    name = _name(entry.id)
    parts = [
        f"# {name}",
        entry.summary,
        f"![{name}: a frame]({name}.png)",
        f"*{caption}*",
        f'```python\nenv = gym.make("metarl_envs:{entry.id}", split="train", episodes_per_trial=10)\n```',
        _figures(entry.family.with_params()),
    ]
    for heading, text in entry.page.items():
        table = f"{_parameters(entry)}\n\n" if heading == "Parameters" else ""
        parts.append(f"## {heading}\n\n{table}{text}")
    return "\n\n".join(parts) + "\n"


def _figures(variant: Variant) -> str:
    """What can be computed: spaces, length, tasks, splits, and what random play and the oracle earn."""
    tasks = metarl_envs.tasks(_id_of(variant))
    rows = tasks.rows(min(_TASKS, len(tasks)) if tasks.is_finite else _TASKS)
    known = [exact_returns(variant, task) for task in rows]
    exact = all(returns is not None and not np.isnan(returns).any() for returns in known)
    scale = scale_of(variant, rows)
    which = f"{'exact' if exact else 'simulated'}, mean over {len(rows)} tasks"
    splits = tasks.parts
    lines = {
        "observation": f"`{_on_one_line(variant.observation_space)}`",
        "actions": f"`{_on_one_line(variant.action_space)}`",
        "steps an episode": f"{variant.horizon}",
        "tasks": f"{len(tasks):,}" if tasks.is_finite else "endless",
        "splits": ", ".join(f'`"{split}"`' for split in [*splits, *variant.family.shifts]) or "none",
        "random play earns": f"{scale.random.mean():.4g} an episode ({which})",
        "the oracle earns": f"{scale.oracle.mean():.4g} an episode ({which})",
    }
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in lines.items())


def _id_of(variant: Variant) -> str:
    return next(entry.id for entry in _entries() if entry.family is variant.family)


def _on_one_line(value: object) -> str:
    return re.sub(r"\s+", " ", str(value))


def _parameters(entry: Entry) -> str:
    """Each parameter's default and range."""
    values = entry.family.with_params().values
    rows = [
        f"| `{name}` | `{values[name]!r}` | {parameter.allowed().removeprefix('of ')} |"
        for name, parameter in entry.family.params.parameters.items()
    ]
    return "\n".join(["| name | default | allowed |", "|---|---|---|", *rows])


def _scene(entry: Entry) -> tuple[bytes, str]:
    """A picture of somebody who learns in the family, with the task shown, and what it shows.

    The policy lives some lives; one with a good gain is lived again in an environment that draws.
    """
    variant = entry.family.with_params()
    by_blocks = variant.family.curve_unit != "episode"
    episodes = 1 if by_blocks else _EPISODES
    name, policy = _who_is_shown(variant)
    lived = collect(entry.id, policy, histories=_LIVES, steps=episodes * variant.horizon, split=None)
    early, late = np.array_split(lived.rewards, 2, axis=1)
    life = int(np.argsort(late.sum(axis=1) - early.sum(axis=1))[3 * _LIVES // 4])
    shown_at = _moment(lived.rewards[life], (lived.terminated | lived.truncated)[life], episodes)
    env = gym.make(entry.id, render_mode="rgb_array", reveal=True, episodes_per_trial=episodes)
    observation, _ = env.reset(seed=int(lived.seeds[life]))
    for t in range(shown_at):
        if not np.array_equal(observation, lived.observations[life, t]):
            raise RuntimeError(f"{entry.id}: life {life} of {name} is not what the environment of its seed gives")
        observation, *_ = env.step(lived.actions[life, t])
    when = f"after {shown_at} of {variant.horizon} steps" if by_blocks else f"in episode {episodes}"
    seen = "which it knows" if name == "oracle" else "which it cannot see"
    return _png(env.render()), f"`{name}` {when} of a trial. The picture shows the hidden task, {seen}."


def _moment(rewards: np.ndarray, ended: np.ndarray, episodes: int) -> int:
    """A step at which there is something to see: near the end of a single episode, or in the last one half-way to its prize."""
    number = ended.cumsum() - ended
    last = np.flatnonzero(number == episodes - 1)
    paid = rewards[last]
    prize = int(np.argmax(paid >= paid.max() - 0.1 * np.ptp(paid)))  # the first of the best tenth
    if episodes == 1:
        return int(last[int(0.9 * len(last))])
    return int(last[prize // 2 if prize else len(last) // 3])


def _who_is_shown(variant: Variant) -> tuple[str, Player]:
    """The family's own policy that does not know the task, if it has one; else a learner; else the oracle."""
    suitable = suitable_players(variant)
    own = [name for name in variant.family.references if name != "oracle"]
    name = next(name for name in (*own[-1:], *_SHOWN) if name in suitable)
    return name, suitable[name]


def _png(picture: Any) -> bytes:
    import pygame

    file = io.BytesIO()
    pygame.image.save(pygame.surfarray.make_surface(np.transpose(picture, (1, 0, 2))), file, "picture.png")
    return file.getvalue()


# ------------------------------------------------------------------------------------------------ wrappers
def _wrapper_pages() -> Iterator[tuple[str, str]]:
    """The catalogue of wrappers, cut into pages."""
    intro, *pages = re.split(r"^## ", catalogue(), flags=re.MULTILINE)
    yield "wrappers/index.md", re.sub(r"\(#(\w+)\)", lambda link: f"({_wrapper_of(link[1])}.md)", intro)
    for page in pages:
        name = page.split("\n", 1)[0]
        yield f"wrappers/{name}.md", f"# {page}"


def _wrapper_of(anchor: str) -> str:
    return next(name for name in names() if name.lower() == anchor)


# ------------------------------------------------------------------------------------------------ from the repository
def _commands() -> str:
    """The two commands of the README."""
    commands = re.findall(r"^    (python3 -m venv .*)$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    evaluate, test = commands
    return f"Evaluate the reference learners:\n\n```\n{evaluate}\n```\n\nRun the tests:\n\n```\n{test}\n```"


def _cards_of_networks() -> str:
    """The model cards of the trained networks."""
    return "\n\n".join(f"### {card(name)}" for name in DIGESTS)


def _with_links(text: str) -> str:
    """A page of the root: links to pages lead there, links to files become the files' names."""
    text = re.sub(r"\]\(docs/([\w/-]+\.md)\)", r"](\1)", text)
    text = re.sub(r"\]\(README\.md(#\w+)?\)", "](index.md)", text)
    files = re.compile(r"\[([^]]+)\]\((?!http|index\.md|contract\.md)([^)]+)\)")
    return files.sub(lambda link: f"`{link[2]}`" if link[1] == link[2] else f"{link[1]} (`{link[2]}`)", text)
