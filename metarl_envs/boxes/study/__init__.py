"""Runs of boxes, and what is computed from them."""
