"""Validation of values read from files and requests: names, numbers, times, JSON objects and lists."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.core.text import find_hidden, one_line
from wtal.data.problems import Problem, abbreviate

MAX_SECONDS = 4_294_967.0  # seven weeks; ELAN stores milliseconds in 32 bits
HINT_HIDDEN = "type the label again"
MAX_NAME_LENGTH = 100_000  # characters; Python's csv module reads at most 131,072 in one cell


class Location(NamedTuple):
    """The part of a file that a value was read from, for error messages.

    Attributes:
        path: The file; None for values that come from no file, such as a request.
        part: Where in it, such as `line 3` or `v_1, segment 2`.
    """

    path: Path | None
    part: str = ""

    def child(self, name: str) -> "Location":
        """The location of a part of this part."""
        name = abbreviate(name if name.isprintable() else one_line(name))
        return Location(self.path, f"{self.part}, {name}" if self.part else name)

    def error(self, message: str, hint: str, code: str = "invalid-value") -> DataError:
        """A DataError at this location."""
        return DataError(message, path=self.path, location=self.part or None, hint=hint, code=code)

    def problem(self, message: str, hint: str, code: str = "invalid-value", fatal: bool = True) -> Problem:
        """A Problem at this location."""
        return Problem(message, self.path, self.part or None, hint, code, fatal)


def parse_name(location: Location, value: Any, field: str) -> str:
    """Check a label or id, and strip surrounding white space.

    Raises:
        DataError: It is not a string, empty, too long, or contains an unpaired surrogate.
    """
    if not isinstance(value, str) or not value.strip():
        raise location.error(f"{field} must be a non-empty string, not {abbreviate(repr(value))}", "enter a name")
    if len(value) > MAX_NAME_LENGTH:
        raise location.error(f"{field} {abbreviate(repr(value))} has {len(value):,} characters", "shorten it")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise location.error(
            f"{field} {abbreviate(ascii(value))} contains an unpaired surrogate", "rename it", "invalid-unicode"
        )
    return value.strip()


def parse_label(location: Location, value: Any, field: str = "label") -> str:
    """Check a label as `parse_name` does, and that all of it can be seen.

    Raises:
        DataError: As `parse_name`, or the label has invisible or direction-changing characters.
    """
    label = parse_name(location, value, field)
    if (hidden := find_hidden(label)) is not None:
        raise location.error(hidden_message(field, label, hidden), HINT_HIDDEN, "hidden-character")
    return label


def hidden_message(field: str, label: str, hidden: str) -> str:
    """The message about a character that `find_hidden` returned."""
    return f"{field} {abbreviate(ascii(label))} contains the invisible character U+{ord(hidden):04X}"


def parse_number(location: Location, value: Any, field: str) -> float:
    """A finite number, which may be written as text.

    Raises:
        DataError: It is anything else.
    """
    if type(value) is float and math.isfinite(value):  # the usual case, of possibly millions
        return value + 0.0  # turns -0.0 into 0.0
    try:
        valid_type = isinstance(value, int | float | str) and not isinstance(value, bool)
        number = float(value) if valid_type else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or (isinstance(value, str) and "_" in value):  # float() accepts "1_0"
        raise location.error(f"{field} must be a finite number, not {abbreviate(repr(value))}", "enter a number")
    return number + 0.0


def parse_seconds(location: Location, value: Any, field: str) -> float:
    """A time in seconds.

    Raises:
        DataError: It is not a number, negative, or above `MAX_SECONDS`.
    """
    time = parse_number(location, value, field)
    if not 0 <= time <= MAX_SECONDS:
        raise location.error(f"{field} is {time} s", f"use seconds from 0 to {MAX_SECONDS:.0f}")
    return time


def parse_segment(location: Location, label: Any, start: Any, end: Any, score: Any = None) -> Segment:
    """Check the values of a segment; times in seconds.

    Raises:
        DataError: A value is invalid, or the end is before the start.
    """
    label = parse_label(location, label)
    start, end = parse_seconds(location, start, "start"), parse_seconds(location, end, "end")
    if end < start:
        raise location.error(f"end {end} s is before start {start} s", "swap the two times")
    return Segment(label, start, end, None if score is None else parse_number(location, score, "score"))


def parse_object(location: Location, value: Any, keys: Sequence[str] = ()) -> dict[str, Any]:
    """A JSON object that has all of these keys.

    Raises:
        DataError: It is not an object, or lacks a key.
    """
    if not isinstance(value, dict):
        raise location.error(f"expected an object, not {_describe(value)}", "export the file again", "invalid-type")
    for key in keys:
        if key not in value:
            raise location.error(f'"{key}" is missing', "export the file again", "missing-key")
    return value


def parse_list(location: Location, value: Any) -> list[Any]:
    """A JSON list.

    Raises:
        DataError: It is anything else.
    """
    if not isinstance(value, list):
        raise location.error(f"expected a list, not {_describe(value)}", "export the file again", "invalid-type")
    return value


def _describe(value: Any) -> str:
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else abbreviate(repr(value))
