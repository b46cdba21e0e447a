"""Colors that a person chose for classes, as the web page stores them: a JSON object of class to #RRGGBB."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from wtal.core.errors import DataError, first_validation_error
from wtal.core.io import read_json, write_json
from wtal.reporting.figures.colors import FILL_CONTRAST, lighten, theme_colors

COLORS_FILE = "colors.json"
MAX_COLORED_CLASSES = 1000

Color = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$", to_upper=True)]
Colors = dict[Annotated[str, StringConstraints(min_length=1, max_length=200)], Color]
ADAPTER: TypeAdapter[Colors] = TypeAdapter(Annotated[Colors, Field(max_length=MAX_COLORED_CLASSES)])


def read_class_colors(path: Path) -> dict[str, str]:
    """Read the colors of a file. Raises DataError if it is missing or invalid."""
    return check_class_colors(read_json(path), path)


def write_class_colors(path: Path, colors: Mapping[str, str]) -> None:
    """Write the colors to a file. Raises DataError if they are invalid, or cannot be written."""
    write_json(path, check_class_colors(dict(colors), path))


def check_class_colors(colors: object, path: Path) -> dict[str, str]:
    """The colors in upper case. Raises DataError if they are invalid."""
    try:
        return ADAPTER.validate_python(colors)
    except ValidationError as error:
        raise DataError(
            f"invalid colors of classes ({first_validation_error(error)})",
            path=path,
            hint='write an object such as {"swim": "#0072B2"}',
            code="invalid-colors",
        ) from error


def custom_theme_colors(colors: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """By class its four colors on the pages, see `theme_colors`."""
    return {
        label: {name: of_theme[0] for name, of_theme in theme_colors([color], [lighten(color, FILL_CONTRAST)]).items()}
        for label, color in colors.items()
    }
