"""Exceptions caused by invalid input. The command line prints them in one line and exits with code 2."""

import os
from typing import TYPE_CHECKING

from wtal.core.text import one_line

if TYPE_CHECKING:
    from pydantic import ValidationError


MAX_MESSAGE_LENGTH = 600


class WtalError(Exception):
    """Base class of every error that a user can cause and fix.

    Args:
        message: What is wrong, without the path and without the fix.
        path: The file or folder that is wrong, if there is one.
        location: Where in that file, such as `line 3` or `entry v_1`.
        hint: How to fix it.
        code: A stable identifier in kebab case, such as `file-not-found`; for programs and tests.

    `str(error)` is one line: `path, location: message; hint`. Long messages and locations are cut.
    """

    default_code = "error"

    def __init__(
        self,
        message: str,
        *,
        path: str | os.PathLike[str] | None = None,
        location: str | None = None,
        hint: str | None = None,
        code: str | None = None,
    ) -> None:
        message = _shorten(message)
        super().__init__(message)  # the only positional argument, so that the error can be pickled
        self.message = message
        self.path = None if path is None else os.fspath(path)
        self.location = None if location is None else _shorten(location)
        self.hint = hint
        self.code = code or self.default_code

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.path, self.location) if part)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text}; {self.hint}" if self.hint else text


def _shorten(text: str) -> str:
    """One printable line of at most `MAX_MESSAGE_LENGTH` characters: messages can contain any part of a file."""
    text = one_line(text)
    return text if len(text) <= MAX_MESSAGE_LENGTH else f"{text[:MAX_MESSAGE_LENGTH]} ..."


class DataError(WtalError):
    """A file or folder of data is missing, malformed or inconsistent."""

    default_code = "invalid-data"


class ConfigError(WtalError):
    """A setting or a command line option is unknown or out of range."""

    default_code = "invalid-setting"


class CheckpointError(WtalError):
    """A run or model folder is missing, damaged or does not match the data."""

    default_code = "invalid-checkpoint"


def first_validation_error(error: "ValidationError") -> str:
    """The first failure in a pydantic error: `field: reason`, or only the reason if the whole value is wrong."""
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    return f"{name}: {first['msg'].lower()}" if name else first["msg"].lower()


def short_message(error: BaseException) -> str:
    """The first line of the message of the exception at the root of the cause chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
