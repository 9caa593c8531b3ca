"""Trained networks that come with the package, as players: what they are run by is NumPy alone."""
