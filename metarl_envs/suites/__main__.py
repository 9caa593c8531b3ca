"""Freezes a suite: `python -m metarl_envs.suites mine.json` writes into the file what its rows are now.

That is the number and the fingerprint of their tasks, what is scored 0 and 1, and the score of the best policy without memory.
Suites that come with the package stay as they are: copy one to a new name, change it, and freeze the copy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from metarl_envs.files import written_aside
from metarl_envs.suites.suite import Suite, load


def freeze(file: Path) -> Suite:
    """Write what the rows of a suite are now into its file, and return the suite."""
    suite = load(file)
    now = Suite(suite.name, suite.about, suite.seeds, tuple(row.measured() for row in suite.rows))
    with written_aside(file) as [aside]:
        aside.write_text(json.dumps(now.as_json(), indent=2) + "\n", encoding="utf-8")
    return now


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m metarl_envs.suites FILE.json ...")
    for name in sys.argv[1:]:
        frozen = freeze(Path(name))
        print(f"{frozen.name}: digest {frozen.digest}")
