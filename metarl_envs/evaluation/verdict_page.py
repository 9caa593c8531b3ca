"""How a verdict is shown: a table for the terminal, and one self-contained page of HTML."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from metarl_envs.engine.splits import ALL_TASKS
from metarl_envs.evaluation import classes
from metarl_envs.evaluation.verdicts import Row, Verdict
from metarl_envs.files import written_aside

#: What each class means, in a sentence.
MEANING = {
    classes.NONE: "It does not adapt: it does no better than the best policy without memory.",
    classes.UNDECIDED: "The evidence does not decide.",
    classes.HEURISTIC: "It adapts, but hardly by the feedback of its own task: it follows a heuristic.",
    classes.INFERENCE: "It needs feedback, but loses most of what it gains where tasks are unlike those that it knows: it "
    "finds out which task it is on, and does what it knows to do there.",
    classes.LEARNING: "It learns from reward: it keeps what it gains where actions or tasks are unlike those that it knows.",
    classes.MIXED: "It needs feedback and keeps what it gains, but breaks another rule.",
}
_COLORS = ("#2f6fde", "#e07b39", "#2f9e6e", "#b5459b", "#8a6d3b", "#5a5fd0", "#c23b4b", "#3b9fb5")
_WIDE, _TALL, _LEFT, _ABOVE, _BELOW = 720, 360, 44, 26, 44
_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.class { font-size: 1.25rem; border-left: 4px solid #2f6fde; padding-left: .8rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.r { text-align: right; color: var(--soft); }
@media (max-width: 30rem) { td.n { white-space: normal; } }
small, .soft { color: var(--soft); } svg { width: 100%; height: auto; } svg text { fill: currentColor; font-size: 15px; }
ul.key { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .9rem; }
ul.key span { display: inline-block; width: 1.2rem; height: .25rem; vertical-align: middle; margin-right: .4rem; }
"""


def table(verdict: Verdict) -> Table:
    """Return what the agent adapts by, as a table for the terminal; its caption is the verdict."""
    caption = f"{verdict.name}. {MEANING[verdict.name]} {verdict.evidence}"
    shown = Table(
        title=Text(_headline(verdict)),
        caption=Text(caption, justify="left"),
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        collapse_padding=True,
    )
    if verdict.likenesses:
        best = verdict.likenesses[0]
        alike = ", ".join(one.name for one in verdict.likenesses if one.alike)
        caption += f"\nmost like: {alike} ({classes.shown(best.bits)} bits a step above uniform)"
        shown.caption = Text(caption, justify="left")
    shown.add_column("", overflow="fold")
    for column in ("A", "lost"):
        shown.add_column(column, justify="right")
    for row in verdict.rows:
        shown.add_row(Text(row.name), *map(Text, _cells(row)))
    return shown


def page(verdict: Verdict) -> str:
    """Return the verdict as a page of HTML that needs nothing else: its picture is inline, and all text is escaped."""
    zero = "is not known here, so that A is the score" if not verdict.memoryless_known else f"scores {verdict.memoryless:.3f}"
    extra = [f"From the first to the last {verdict.unit} of its curve it gains {classes.shown(verdict.gain)}."]
    if verdict.slope is not None:
        extra.append(
            f"Beyond its lifetime the score moves by {classes.shown(verdict.slope)} from {verdict.unit} to {verdict.unit}."
        )
    if verdict.recovery is not None:
        extra.append(
            "When actions change their meaning in mid-trial, it costs as much as the oracle leads by in "
            f"{verdict.recovery:.2f} units of the curve."
        )
    rows = "".join(
        f"<tr><td>{escape(row.name)}<br><small>{escape(row.says)}</small></td>"
        + "".join(f'<td class="{"n" if row.adaptation else "r"}">{escape(cell)}</td>' for cell in _cells(row))
        + "</tr>"
        for row in verdict.rows
    )
    compared = "".join(
        f"<tr><td>{escape(one.name)}<br><small>{escape(one.says.rstrip(','))}</small></td>"
        f'<td class="n">{escape(classes.shown(one.found))}</td><td class="n">{one.threshold:g}</td>'
        f'<td class="n">{escape(_chance(one.p))}</td><td>{escape(one.outcome)}</td></tr>'
        for one in verdict.comparisons
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(f"{verdict.name}: {verdict.agents[0]} in {verdict.id}")}</title><style>{_STYLE}</style></head><body>
<h1>{escape(verdict.name.capitalize())}</h1>
<p class="soft">{escape(_headline(verdict))}</p>
<p class="class">{escape(MEANING[verdict.name])}</p>
<p>{escape(verdict.evidence[0].upper() + verdict.evidence[1:])}.</p>
<h2>What it does, intact and under each control</h2>
{_picture(verdict)}
<p>{escape(" ".join(extra))}</p>
<h2>What it adapts by</h2>
<p class="soft">A is what it gains above the best policy without memory (which {escape(zero)}), of all that there is to gain:
1 is the oracle. Lost: what of it goes, on the same tasks with the same noise. 95 % intervals for the distribution of tasks.</p>
<div class="scroll"><table><tr><th></th><th class="n">A</th><th class="n">lost</th></tr>{rows}</table></div>
<h2>What decides</h2>
<p class="soft">In the order of the rules; the first that is not above its threshold decides. p is after Holm's correction.</p>
<div class="scroll"><table><tr><th></th><th class="n">found</th><th class="n">threshold</th><th class="n">p</th><th></th></tr>
{compared}</table></div>
{_likenesses(verdict)}
</body></html>
"""


def save_page(verdict: Verdict, folder: str | os.PathLike) -> Path:
    """Write the page as `verdict.html` into a folder (made if need be); return its path."""
    path = Path(folder) / "verdict.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as [aside]:
        aside.write_text(page(verdict), encoding="utf-8")
    return path


def _headline(verdict: Verdict) -> str:
    return (
        f"{' or '.join(verdict.agents)} in {verdict.id}, split {verdict.split or ALL_TASKS}: {verdict.tasks} tasks, "
        f"{verdict.seeds} seed{'s' * (verdict.seeds > 1)}, {verdict.episodes} episode{'s' * (verdict.episodes > 1)}"
    )


def _likenesses(verdict: Verdict) -> str:
    """Who acts alike, as a section of the page."""
    head = "<h2>Which algorithm it is most like</h2>"
    if not verdict.likenesses:
        return f'{head}<p class="soft">Not applicable: no known player can look on here.</p>'
    rows = "".join(
        f'<tr><td>{escape(one.name)}{" *" if one.alike else ""}</td><td class="n">{escape(classes.shown(one.bits))}</td>'
        f'<td class="n">{one.epsilon:.2g}</td></tr>'
        for one in verdict.likenesses
    )
    return f"""{head}
<p class="soft">Each known player looks on at the agent's own lives, and says which action has which chance for it. How many
bits a step that tells more of what the agent does than to expect all actions alike; with chance epsilon, fitted on other tasks,
it does anything. What is marked * cannot be told apart from the best. Near 0 bits, none fits.</p>
<div class="scroll"><table><tr><th></th><th class="n">bits a step</th><th class="n">epsilon</th></tr>{rows}</table></div>"""


def _chance(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _cells(row: Row) -> tuple[str, str]:
    if row.adaptation is None:
        return "not applicable", row.why_not
    return classes.shown(row.adaptation), "" if row.drop is None else classes.shown(row.drop)


def _picture(verdict: Verdict) -> str:
    """The curves as an inline picture, with a key below."""
    curves = {name: curve for name, curve in verdict.curves.items() if np.isfinite(curve[0]).any()}
    means = np.concatenate([curve[0][np.isfinite(curve[0])] for curve in curves.values()] + [np.array([0.0, 1.0])])
    low, high = float(means.min()), float(means.max())
    units = max(len(curve[0]) for curve in curves.values())

    def x(unit: float) -> float:
        return _LEFT + (_WIDE - _LEFT - 10) * unit / max(1, units - 1)

    def y(score: float) -> float:
        return _ABOVE + (_TALL - _ABOVE - _BELOW) * (high - min(max(score, low), high)) / (high - low)

    def line(values: np.ndarray) -> str:
        return " ".join(f"{x(i):.1f},{y(float(v)):.1f}" for i, v in enumerate(values) if np.isfinite(v))

    drawn, key = [], []
    for name, score in (("oracle", 1.0), ("random", 0.0)):
        drawn.append(
            f'<line x1="{_LEFT}" x2="{_WIDE - 10}" y1="{y(score):.1f}" y2="{y(score):.1f}" stroke="currentColor" '
            'stroke-dasharray="3 4" opacity=".5"/>'
            f'<text x="{_LEFT - 6}" y="{y(score) + 4:.1f}" text-anchor="end">{score:g}</text>'
            f'<text x="{_WIDE - 10}" y="{y(score) - 4:.1f}" text-anchor="end" opacity=".6">{name}</text>'
        )
    if len(verdict.curves["agent"][0]) > verdict.episodes > 1:
        middle = x(verdict.episodes - 0.5)
        drawn.append(
            f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{_ABOVE}" y2="{_TALL - _BELOW}" stroke="currentColor" '
            'opacity=".3"/>'
            f'<text x="{middle + 5:.1f}" y="{_ABOVE + 24}" opacity=".6">longer than a lifetime</text>'
        )
    for i, (name, (mean, lowest, highest)) in enumerate(curves.items()):
        color = _COLORS[i % len(_COLORS)]
        if name == "agent" and np.isfinite(lowest).all():
            band = f"{line(lowest)} {' '.join(reversed(line(highest).split(' ')))}"
            drawn.append(f'<polygon points="{band}" fill="{color}" opacity=".18"/>')
        width = 2.5 if name == "agent" else 1.3
        drawn.append(f'<polyline points="{line(mean)}" fill="none" stroke="{color}" stroke-width="{width}"/>')
        key.append(f'<li><span style="background:{color}"></span>{escape(name)}</li>')
    ticks = sorted({0, (units - 1) // 2, units - 1})
    drawn += [f'<text x="{x(i):.1f}" y="{_TALL - _BELOW + 20}" text-anchor="middle">{i + 1}</text>' for i in ticks]
    unit = verdict.unit if verdict.unit == "episode" else f"block of {verdict.unit}"
    drawn.append(f'<text x="{_WIDE - 10}" y="{_TALL - 6}" text-anchor="end" opacity=".6">{escape(unit)}</text>')
    return f'<svg viewBox="0 0 {_WIDE} {_TALL}" role="img">{"".join(drawn)}</svg><ul class="key">{"".join(key)}</ul>'
