"""Environments over rows: the worlds, one of them, many of them, and what `info` says."""
