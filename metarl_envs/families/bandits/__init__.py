"""Bandits: an episode is a run of pulls."""
