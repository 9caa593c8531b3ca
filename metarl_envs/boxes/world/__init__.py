"""The world of a box: its state, what actions do, and the recipes."""
