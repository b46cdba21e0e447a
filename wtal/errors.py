"""What can go wrong by the user's hand. Each message says what, where, and how to mend it; the CLI exits with 2."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class WtalError(Exception):
    """The root: every error that a user can cause and mend."""


class DataError(WtalError):
    """A file or folder of data is not what it should be."""


class ConfigError(WtalError):
    """A setting is unknown or out of its range."""


class CheckpointError(WtalError):
    """A run or model folder is not one, or does not fit the data."""


def first_fault(error: "ValidationError") -> str:
    """The first thing that pydantic finds wrong: `name: what`, or what alone where it is the whole."""
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    return f"{name}: {first['msg'].lower()}" if name else first["msg"].lower()


def first_line(error: BaseException) -> str:
    """What an exception says in one line, or the one at the bottom that it was raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
