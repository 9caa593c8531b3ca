"""Families in which numbers are predicted."""
