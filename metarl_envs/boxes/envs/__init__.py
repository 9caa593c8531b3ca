"""Boxes as environments: parallel, in batches, and one seat of them."""
