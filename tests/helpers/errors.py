"""Assertions on errors by class, code, path and location instead of by the wording of the message."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from wtal.core.errors import WtalError

Error = TypeVar("Error", bound=WtalError)


@contextmanager
def raises(
    error_class: type[Error],
    *,
    code: str | None = None,
    path: str | os.PathLike[str] | None = None,
    location: str | None = None,
) -> Iterator[pytest.ExceptionInfo[Error]]:
    """Expect an error of a class that has the given code, path and location. Yields pytest's ExceptionInfo:

    with raises(DataError, code="invalid-json", path=path) as caught:
        read_json(path)
    assert "Expecting value" in caught.value.message
    """
    with pytest.raises(error_class) as caught:
        yield caught
    error = caught.value
    expected = {"code": code, "path": None if path is None else os.fspath(path), "location": location}
    expected = {name: value for name, value in expected.items() if value is not None}
    assert {name: getattr(error, name) for name in expected} == expected, str(error)
