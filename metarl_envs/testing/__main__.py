"""Print the hash of a run of whole trials: `python -m metarl_envs.testing ID [PARAMS AS JSON]`."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import gymnasium

import metarl_envs.engine
from metarl_envs.engine import PLAIN
from metarl_envs.testing.declaration import check_state_index
from metarl_envs.testing.runs import trajectory_hash

#: Where frames of a traceback tell an author of a family nothing.
_NOT_AUTHORS = tuple(str(Path(file).parent) for file in (__file__, metarl_envs.engine.__file__, gymnasium.__file__))


def main() -> None:
    """Print the hash, or an error with the lines in which the family itself is at fault.

    In plain mode, where kernels can be called, the indices of observations are looked at too.
    """
    try:
        id, params = sys.argv[1], json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}")
        if PLAIN:
            check_state_index(id, params)
        print(trajectory_hash(id, **params))
    except Exception as error:
        sys.exit(_by_author(error))


def _by_author(error: Exception) -> str:
    """A traceback without the frames of the engine, unless there are no others."""
    told = traceback.TracebackException.from_exception(error)
    own = [frame for frame in told.stack if not frame.filename.startswith((*_NOT_AUTHORS, "<"))]
    told.stack = traceback.StackSummary.from_list(own or told.stack)
    return "".join(told.format())


main()
