"""Who sits in the seats of boxes."""
