"""Errors carry their parts as attributes, and their text is one line."""

import pickle

import pytest
from pydantic import BaseModel, ValidationError

from wtal.core.errors import CheckpointError, ConfigError, DataError, first_validation_error, short_message


@pytest.mark.parametrize(
    "parts, expected",
    [
        ({}, "is bad"),
        ({"path": "a.json"}, "a.json: is bad"),
        ({"path": "a.json", "location": "line 3"}, "a.json, line 3: is bad"),
        ({"location": "line 3", "hint": "fix it"}, "line 3: is bad; fix it"),
    ],
)
def test_text_of_error(parts, expected):
    assert str(DataError("is bad", **parts)) == expected


@pytest.mark.parametrize("text", ["a\nb", "x" * 100_000, "\x1b[2J", "\ud800", "a\r\n\tb"])
def test_text_of_error_is_one_short_printable_line(text):
    error = DataError(text, location=text, hint="fix it")
    assert str(error).isprintable() and len(str(error)) < 1500 and str(error).endswith("fix it")


@pytest.mark.parametrize("error_class", [DataError, ConfigError, CheckpointError])
def test_error_can_be_pickled(error_class):
    error = error_class("is bad", path="a.json", location="line 3", hint="fix it", code="invalid-value")
    restored = pickle.loads(pickle.dumps(error))
    assert type(restored) is error_class and vars(restored) == vars(error) and str(restored) == str(error)


def test_default_codes_differ():
    codes = {error_class("is bad").code for error_class in (DataError, ConfigError, CheckpointError)}
    assert len(codes) == 3


def test_first_validation_error_names_the_field():
    class Model(BaseModel):
        width: int

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"width": "x"})
    assert first_validation_error(caught.value).startswith("width: ")


def test_short_message_is_that_of_the_root_cause():
    try:
        try:
            raise OSError("disk\nfailed")
        except OSError as error:
            raise DataError("cannot read") from error
    except DataError as error:
        assert short_message(error) == "disk"
    assert short_message(ValueError()) == "ValueError"
