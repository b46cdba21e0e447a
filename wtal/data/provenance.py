"""Where features come from: `features/<id>.json` beside `<id>.npy` records the backbone and the snippet times."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from wtal import __version__
from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError, first_validation_error
from wtal.core.io import read_json_as, write_json

HINT_EXTRACT = "extract the features again"


@dataclass(frozen=True)
class Provenance:
    """How features were made. Features are comparable if and only if this is equal.

    Attributes:
        backbone: Name of the backbone.
        weights: `sha256:...` of the weights, or the name of the formula; empty if unknown.
        fps: Frames per second that were sampled.
        stride: Frames from one snippet to the next.
        window: Frames that one snippet covers.
        side: Length in pixels to which the shorter side of a frame was resized; 0 if unknown.
        crop: Side in pixels of the square that was cut out, None without cropping.
        flow: How optical flow was computed; empty without flow.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # for reading it from a file

    backbone: Annotated[str, Field(min_length=1)]
    weights: str
    fps: Annotated[float, Field(gt=0)]
    stride: Annotated[int, Field(gt=0)]
    window: Annotated[int, Field(gt=0)]
    side: Annotated[int, Field(ge=0)]
    crop: int | None
    flow: str = ""

    def __str__(self) -> str:
        weights = f" ({self.weights[:19]})" if self.weights else ""  # `sha256:` and twelve digits
        window = "" if self.window == self.stride else f" of {self.window} frames"
        size = f", {self.crop} of {self.side} pixels" if self.crop else f", {self.side} pixels uncropped"
        flow = f", flow {self.flow}" if self.flow else ""
        sampling = f"a snippet{window} every {self.stride} frames at {self.fps:g} fps"
        return f"{self.backbone}{weights}, {sampling}{size if self.side else ''}{flow}"


PROVENANCE = TypeAdapter(Provenance)


@dataclass(frozen=True)
class Origin:
    """What is recorded beside a feature file.

    Attributes:
        provenance: How the features were made.
        edges: N + 1 ascending times in seconds; snippet i covers edges[i] to edges[i + 1].
        precision: The dtype of the computation.
        video: Name of the video file.
        fingerprint: `sampled_fingerprint` of the video file; empty if unknown.
        version: The version of wtal.
    """

    provenance: Provenance
    edges: NDArray[np.float64]
    precision: str = "float32"
    video: str = ""
    fingerprint: str = ""
    version: str = __version__

    @property
    def clock(self) -> SnippetClock:
        """The recorded times as a clock."""
        return SnippetClock(self.provenance.stride / self.provenance.fps, float(self.edges[0]), self.edges)


class _OriginFile(BaseModel):
    """Schema of the file. Unknown keys, of later versions, are ignored."""

    model_config = ConfigDict(allow_inf_nan=False)

    provenance: dict[str, Any]
    times: list[float] = Field(min_length=2)
    precision: str
    video: str = ""
    fingerprint: str = ""
    wtal: str


def parse_provenance(values: Any, path: str | os.PathLike[str]) -> Provenance:
    """The provenance that `to_json` made these values of, which were read from `path`. Raises DataError."""
    try:
        return PROVENANCE.validate_python(values)
    except ValidationError as error:
        raise DataError(
            first_validation_error(error), path=path, location="provenance", hint=HINT_EXTRACT, code="invalid-value"
        ) from error


def to_json(provenance: Provenance) -> dict[str, Any]:
    """Plain values for a JSON file."""
    return asdict(provenance)


def origin_path(features: Path) -> Path:
    """`<id>.json` beside the feature file `<id>.npy`."""
    return features.with_suffix(".json")


def write_origin(features: Path, origin: Origin) -> None:
    """Write the origin of a feature file atomically. Raises DataError where it cannot be written."""
    values = {
        "wtal": origin.version,
        "provenance": to_json(origin.provenance),
        "precision": origin.precision,
        "video": origin.video,
        "fingerprint": origin.fingerprint,
        "times": [round(float(time), 6) for time in origin.edges],
    }
    write_json(origin_path(features), values, indent=None)


def read_origin(features: Path) -> Origin | None:
    """The origin of a feature file, None if none is recorded. Raises DataError where its file is invalid."""
    path = origin_path(features)
    if not path.is_file():
        return None
    values = read_json_as(path, _OriginFile, "the origin of a feature file", HINT_EXTRACT)
    edges = np.array(values.times)
    if not np.all(np.diff(edges) > 0):
        raise DataError("the recorded times do not ascend", path=path, hint=HINT_EXTRACT, code="invalid-value")
    provenance = parse_provenance(values.provenance, path)
    return Origin(provenance, edges, values.precision, values.video, values.fingerprint, values.wtal)
