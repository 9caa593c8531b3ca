"""Continuous worlds: points to steer, poles to balance."""
