"""Committed settings, one file a benchmark; each lists only what differs from the defaults."""
