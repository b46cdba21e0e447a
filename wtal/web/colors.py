"""The colors of classes that people set on the page, stored in one file for everybody who opens the folder."""

import threading
from pathlib import Path
from typing import Any

from wtal.core.errors import DataError
from wtal.reporting.class_colors import COLORS_FILE, custom_theme_colors, read_class_colors, write_class_colors


class ClassColors:
    """Reads and changes the colors; all methods can be called from any thread.

    Args:
        store: The folder of the file.
    """

    def __init__(self, store: Path) -> None:
        self._path = store / COLORS_FILE
        self._lock = threading.Lock()

    def describe(self) -> dict[str, Any]:
        """The colors in both themes by class; empty if the file cannot be read."""
        try:
            return custom_theme_colors(self._read())
        except DataError:
            return {}

    def change(self, label: str, color: str | None) -> None:
        """Set the color of a class as #RRGGBB; None restores the default.

        Raises:
            DataError: The color or the file is invalid, or the file cannot be written.
        """
        with self._lock:
            colors = self._read()
            colors.pop(label, None)
            write_class_colors(self._path, colors if color is None else colors | {label: color})

    def _read(self) -> dict[str, str]:
        return read_class_colors(self._path) if self._path.exists() else {}
