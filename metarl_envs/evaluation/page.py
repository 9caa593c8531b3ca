"""Tables and curves on one page of HTML that loads nothing from elsewhere, and tables in Markdown.

Names come from whoever made the runs: all text is escaped, and the page forbids itself to run or fetch anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

_COLORS = ("#2f6fde", "#e07b39", "#2f9e6e", "#b5459b", "#8a6d3b", "#767f8c", "#c23b4b", "#3b9fb5")
#: The size of a picture, and what is left for its margins.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 300, 46, 14, 14, 42
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2430; background: #fff; max-width: 960px; margin: 0 auto; padding: 16px }
h1 { font-size: 1.5em; margin: 0.4em 0 } h2 { font-size: 1.15em; margin: 1.6em 0 0.4em } p { margin: 0.4em 0; color: #445 }
h1, p, dd { overflow-wrap: anywhere } dt { font-weight: 600 } dd { margin: 0 0 0.4em }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92em }
th, td { padding: 4px 12px 4px 0; text-align: right; border-bottom: 1px solid #e3e7ee; white-space: nowrap }
th:first-child, td:first-child { text-align: left } th { color: #445; font-weight: 600 } td.strong { font-weight: 700 }
td { vertical-align: top } small { display: block; color: #667; white-space: normal }
p.lead { font-size: 1.2em; color: inherit; border-left: 4px solid #2f6fde; padding-left: 0.8em }
.key { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-right: 0.4em }
.legend > span { display: inline-block; margin-right: 0.6em }
svg { width: 100%; max-width: 560px; height: auto; display: block }
.curves { display: flex; flex-wrap: wrap; gap: 8px 24px } .curves figure { margin: 0; flex: 1 1 320px }
""".strip()
#: The page may use its own style sheet, and nothing else.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


#: A cell: a text, or a text and what is said below it, smaller.
Cell = str | tuple[str, str]


class Table(NamedTuple):
    """A table of text.

    Attributes:
        title: above it.
        about: what there is to know of it, in a few sentences.
        heads: of the columns.
        rows: cells, the first of which says what is in the row.
        strong: row and column of the cells that are to stand out.
    """

    title: str
    about: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    strong: Collection[tuple[int, int]] = ()


class Curves(NamedTuple):
    """Curves in one picture.

    Attributes:
        title: above it.
        label: of the axis of units.
        ends: of that axis.
        curves: mean, low and high of each, [3, unit]; they may differ in length, and end where the mean is NaN. One without an
            interval (NaN) is thin.
        levels: values that have a name, each a line across. [default: five lines, from 0 to the top]
        turn: after how many units something changes, and what is said there.
    """

    title: str
    label: str
    ends: tuple[int, int]
    curves: Sequence[np.ndarray]
    levels: Mapping[str, float] | None = None
    turn: tuple[int, str] | None = None


def markdown(tables: Iterable[Table]) -> str:
    """Return tables in Markdown."""
    parts = []
    for table in tables:
        lines = [f"**{plain(table.title)}**", "", _row(table.heads), f"|{'---|' * len(table.heads)}"]
        parts.append("\n".join([*lines, *(_row(row) for row in table.rows)]))
    return "\n\n".join(parts)


def html(
    title: str,
    about: Sequence[str],
    legend: Mapping[str, str],
    pictures: Iterable[Curves],
    tables: Iterable[Table],
    *,
    heading: str = "Curves",
    lead: str = "",
) -> str:
    """Return a page of HTML.

    Args:
        title: its heading.
        about: paragraphs under it.
        legend: whose curves are shown, in their order, and who that is ("" where the name says it).
        pictures: of curves.
        tables: all others.
        heading: of the pictures.
        lead: a sentence that stands out, before the pictures.
    """
    keys = [f'<span class="key" style="background:{_COLORS[k % len(_COLORS)]}"></span>' for k in range(len(legend))]
    names = [f"{key}{escape(name)}" for key, name in zip(keys, legend, strict=True)]
    told = zip(names, legend.values(), strict=True)
    who = "".join(f"<dt>{name}</dt><dd>{escape(said)}</dd>" for name, said in told if said)
    named = " ".join(f"<span>{name}</span>" for name in names)
    drawn = "".join(f"<figure><figcaption>{escape(each.title)}</figcaption>{_svg(each)}</figure>" for each in pictures)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f'{f"""<p class="lead">{escape(lead)}</p>""" if lead else ""}{"".join(f"<p>{escape(each)}</p>" for each in about)}'
        f"{f'<dl>{who}</dl>' if who else ''}"
        f'<h2>{escape(heading)}</h2><p class="legend">{named}</p><div class="curves">{drawn}</div>'
        f"{''.join(_table(table) for table in tables)}</body></html>\n"
    )


def _table(table: Table) -> str:
    def cell(row: int, column: int, told: Cell) -> str:
        text, below = (told, "") if isinstance(told, str) else told
        small = f"<small>{escape(below)}</small>" if below else ""
        return f"<td{' class=strong' if (row, column) in table.strong else ''}>{escape(text)}{small}</td>"

    heads = "".join(f"<th>{escape(head)}</th>" for head in table.heads)
    rows = "".join(f"<tr>{''.join(cell(k, n, told) for n, told in enumerate(row))}</tr>" for k, row in enumerate(table.rows))
    about = f"<p>{escape(table.about)}</p>" if table.about else ""
    return f'<h2>{escape(table.title)}</h2>{about}<div class="wide"><table><tr>{heads}</tr>{rows}</table></div>'


def _row(cells: Iterable[Cell]) -> str:
    return f"| {' | '.join(plain(cell if isinstance(cell, str) else cell[0]) for cell in cells)} |"


def plain(text: str) -> str:
    """Return text as Markdown, and HTML within it, reads it as text; an underscore within a word means nothing to it."""
    return re.sub(r"[\\`*\[\]|#!~$]|(?<![^\W_])_|_(?![^\W_])", lambda found: f"\\{found.group()}", escape(text, quote=False))


# ------------------------------------------------------------------------------------------------- pictures
def _svg(shown: Curves) -> str:
    units = max(curve.shape[1] for curve in shown.curves)
    lowest, highest, lines = _axis(shown)
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def across(unit: float) -> float:
        return _LEFT + wide * unit / max(1, units - 1)

    def height_of(value: float) -> float:
        return _TOP + high * (highest - min(max(value, lowest), highest)) / (highest - lowest)

    def points(values: np.ndarray) -> list[str]:
        return [f"{across(unit):.1f},{height_of(value):.1f}" for unit, value in enumerate(values) if np.isfinite(value)]

    parts = []
    for value, name in lines:
        height = height_of(value)
        parts.append(f'<path d="M{_LEFT} {height:.1f}H{_WIDTH - _RIGHT}" stroke="#d4dae3"/>')
        parts.append(_text(_LEFT - 6, height + 4, f"{value:g}", "end"))
        parts.append(_text(_WIDTH - _RIGHT, height - 4, name, "end"))
    parts.append(_text(_LEFT, _HEIGHT - 22, f"{shown.ends[0]}", "middle"))
    parts.append(_text(_WIDTH - _RIGHT, _HEIGHT - 22, f"{shown.ends[1]}", "end"))
    parts.append(_text(_LEFT + wide / 2, _HEIGHT - 6, shown.label, "middle"))
    if shown.turn is not None:
        place = across(shown.turn[0] - 0.5)
        parts.append(f'<path d="M{place:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#9aa5b4"/>')
        parts.append(_text(place + 5, _TOP + 22, shown.turn[1], "start"))
    for k, (mean, low, upper) in enumerate(shown.curves):
        color, known = _COLORS[k % len(_COLORS)], bool(np.isfinite(low).all())
        if known:
            band = [*points(upper), *reversed(points(low))]
            parts.append(f'<polygon points="{" ".join(band)}" fill="{color}" opacity="0.16"/>')
        width = 2 if known else 1.3
        parts.append(f'<polyline points="{" ".join(points(mean))}" fill="none" stroke="{color}" stroke-width="{width}"/>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(shown.title)}">{"".join(parts)}</svg>'


def _axis(shown: Curves) -> tuple[float, float, list[tuple[float, str]]]:
    """The ends of the axis of values, and the lines across, with their names."""
    means = np.concatenate([curve[0][np.isfinite(curve[0])] for curve in shown.curves])
    if shown.levels is not None:
        within = [*means.tolist(), *shown.levels.values()]
        return min(within), max(within), [(value, name) for name, value in shown.levels.items()]
    top = _round_up(max(float(np.nanmax(curve, initial=0.0)) for curve in shown.curves) or 1.0)
    return 0.0, top, [(top * k / 4, "") for k in range(5)]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12" fill="#445">{escape(text)}</text>'


def _round_up(value: float) -> float:
    """The next number that an axis can end with."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value - 1e-9)
