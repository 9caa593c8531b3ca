"""Tests marked `plain` run as ordinary Python: in a process of their own (see test_plain_mode.py), or in a plain run."""

from metarl_envs.engine.kernels import PLAIN


def pytest_collection_modifyitems(config, items):
    if PLAIN:
        return
    left_out = [item for item in items if item.get_closest_marker("plain")]
    items[:] = [item for item in items if not item.get_closest_marker("plain")]
    config.hook.pytest_deselected(items=left_out)
