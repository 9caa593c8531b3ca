"""The compiled loops, one subject a file: trials and horizons are written here once, for every family and way to run it."""
