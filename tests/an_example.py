"""Examples as modules; where there are none (tests of an installed wheel, run from elsewhere) tests of them are skipped."""

import importlib.util
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    """The example in a file of this name, as a module."""
    if not EXAMPLES.exists():
        pytest.skip("no examples here", allow_module_level=True)
    spec = importlib.util.spec_from_file_location(Path(name).stem, EXAMPLES / name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
