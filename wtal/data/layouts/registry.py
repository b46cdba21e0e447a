"""All data layouts by name."""

from pathlib import Path

from wtal.core.errors import DataError
from wtal.data.layouts.base import Layout
from wtal.data.layouts.basnet import BasNetLayout
from wtal.data.layouts.hapt import HaptLayout
from wtal.data.layouts.opentad import OpenTadLayout
from wtal.data.layouts.wtalc import WtalcLayout

# The last layout that detects a source is used, so more specific layouts come later.
LAYOUTS: dict[str, Layout] = {
    "opentad": OpenTadLayout(),
    "basnet": BasNetLayout(),
    "wtalc": WtalcLayout(),
    "hapt": HaptLayout(),
}


def detect_layout(source: Path) -> Layout | None:
    """The layout of a folder or archive; None for a data set folder and for an unknown layout.

    Raises:
        DataError: The layout is known, but the source is ambiguous, such as a folder with two data sets.
    """
    return next((layout for layout in reversed(LAYOUTS.values()) if layout.detect(source)), None)


def require_not_layout(source: Path) -> None:
    """Check that a folder or archive is no public layout, which must be converted before it can be used.

    Raises:
        DataError: It is one (code `not-converted`), or it is ambiguous.
    """
    if layout := detect_layout(source):
        raise DataError(
            f"has the layout {layout.title}",
            path=source,
            hint=f"convert it with `wtal convert {source} FOLDER` and use FOLDER",
            code="not-converted",
        )
