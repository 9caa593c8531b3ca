"""Worlds and tasks as rows in memory, and the compiled loops that move them."""
