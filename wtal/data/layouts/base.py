"""The interface of a data layout, and what a conversion returns."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wtal.core.errors import ConfigError
from wtal.core.structures import Video

if TYPE_CHECKING:
    from wtal.core.clock import SnippetClock

OnProgress = Callable[[int, int], object]  # called with the number of items done and of all items


@dataclass(frozen=True)
class FeatureTiming:
    """The times of features that were extracted elsewhere, where a layout does not store them.

    Args:
        stride: Frames from one snippet to the next.
        window: Frames that one snippet covers.
        fps: Frames per second; None to take it from the annotations of each video.

    Raises:
        ConfigError: A number is not above 0.
    """

    stride: int | None = None
    window: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        for name in ("stride", "window", "fps"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"--{name} is {value:g}", hint="use a number above 0", code="invalid-value")


@dataclass(frozen=True)
class Conversion:
    """What `Layout.convert` returns. `convert_layout` writes it to `annotations.json` and `dataset.json`.

    Args:
        videos: The videos in the order of the layout. Segments of training videos are not written.
        clock: The times of the snippets, for all videos.
        classes: The class names in order; None for all labels of the videos, sorted.
        modalities: The widths of the feature groups, such as (1024, 1024) for RGB and flow; () if unknown.
        about: More keys for `dataset.json`, such as source and licence.
        remarks: What the user should know, such as videos that were left out.
        annotations: The annotation file that also lists videos without features, if there is one.
    """

    videos: Sequence[Video]
    clock: "SnippetClock"
    classes: Sequence[str] | None = None
    modalities: tuple[int, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    annotations: Path | None = None


class Layout(ABC):
    """A way to store features and annotations. Instances in `LAYOUTS` are known to every command.

    Attributes:
        title: What the layout is called in messages.
        contents: The files by which it is recognized, for help texts.
        needs_timing: Whether `convert` needs a `FeatureTiming`.
    """

    title: str
    contents: str = ""
    needs_timing: bool = False

    @abstractmethod
    def detect(self, source: Path) -> bool:
        """Whether a folder or file has this layout. Raises DataError if it has, but is ambiguous."""

    @abstractmethod
    def convert(
        self, source: Path, out: Path, timing: FeatureTiming, on_progress: OnProgress | None = None
    ) -> Conversion:
        """Write `features/<id>.npy` of each video below `out`. Files that an earlier call completed can be kept.

        Args:
            source: The folder or file that has this layout.
            out: The data set folder to write. It holds nothing, or what an interrupted conversion of `source` left.
            timing: The times of the features; all None unless `needs_timing`.
            on_progress: Called with the number of videos done and of all videos.

        Raises:
            DataError: The source is incomplete, malformed or inconsistent.
        """

    def inputs(self, source: Path) -> Sequence[Path]:
        """The folders and files that are converted. A finished conversion is refused once one of them changes."""
        return [source]
