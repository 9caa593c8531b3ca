"""Several families in one space."""
