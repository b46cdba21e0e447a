"""Weakly supervised temporal action localization: from tags to timelines."""

__version__ = "0.1.0"
