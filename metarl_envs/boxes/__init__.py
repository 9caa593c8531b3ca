"""Boxes: closed groups of agents that invent, see each other, take notes, and forget.

A box is a family whose state has an axis of agents; its hidden task is the recipe book (`boxes.tree`). One set of kernels
(`boxes.box`) is behind every scenario, and a scenario is a set of defaults with a docstring.
"""
