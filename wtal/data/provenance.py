"""Where features come from: `features/<id>.json` beside `<id>.npy` says the backbone and each snippet's time."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from wtal import __version__
from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError, first_validation_error
from wtal.core.io import read_json, write_json


@dataclass(frozen=True)
class Provenance:
    """What must be equal for features to be of one kind; `fps` in pictures a second."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # as it is read from a file

    backbone: Annotated[str, Field(min_length=1)]
    weights: str  # "sha256:..." of the weights, or which formula it is; "" where that is not known
    fps: Annotated[float, Field(gt=0)]
    stride: Annotated[int, Field(gt=0)]
    window: Annotated[int, Field(gt=0)]
    side: Annotated[int, Field(ge=0)]  # 0 where it is not known
    crop: int | None
    flow: str = ""  # how optical flow was computed, "" without it

    def __str__(self) -> str:
        weights = f" ({self.weights[:19]})" if self.weights else ""  # twelve digits of a hash
        window = "" if self.window == self.stride else f" seeing {self.window}"
        sizes = f", {self.crop} of {self.side} pixels" if self.crop else f", {self.side} pixels uncropped"
        flow = f", flow {self.flow}" if self.flow else ""
        taken = f"every {self.stride} pictures{window} at {self.fps:g} a second"
        return f"{self.backbone}{weights}, {taken}{sizes if self.side else ''}{flow}"


@dataclass(frozen=True)
class Origin:
    """One feature file's beginnings. `edges`: N + 1 ascending seconds, snippet i covers [i] to [i + 1].

    `video` and `fingerprint` are the name of the file it was made of, and what tells it from another of that name.
    """

    provenance: Provenance
    edges: NDArray[np.float64]
    precision: str = "float32"
    video: str = ""
    fingerprint: str = ""
    version: str = __version__

    @property
    def clock(self) -> SnippetClock:
        """The recorded times as the clock of this video."""
        return SnippetClock(self.provenance.stride / self.provenance.fps, float(self.edges[0]), self.edges)


class _OriginFile(BaseModel):
    """The file as it must be; what a later version adds beside is let be."""

    model_config = ConfigDict(allow_inf_nan=False)

    provenance: dict[str, Any]
    times: list[float] = Field(min_length=2)
    precision: str
    video: str = ""
    fingerprint: str = ""
    wtal: str


PROVENANCE = TypeAdapter(Provenance)


def parse_provenance(values: Any, where: str) -> Provenance:
    """Plain values as `to_json` gives them. Raises DataError naming the first that is wrong."""
    try:
        return PROVENANCE.validate_python(values)
    except ValidationError as error:
        raise DataError(f"{where}: provenance: {first_validation_error(error)}; extract the features again") from error


def to_json(provenance: Provenance) -> dict[str, Any]:
    """Plain values."""
    return asdict(provenance)


def origin_path(features: Path) -> Path:
    """Where the origin of a feature file is said."""
    return features.with_suffix(".json")


def write_origin(features: Path, origin: Origin) -> None:
    """Write `<id>.json` beside `<id>.npy`, whole or not at all."""
    values = {
        "wtal": origin.version,
        "provenance": to_json(origin.provenance),
        "precision": origin.precision,
        "video": origin.video,
        "fingerprint": origin.fingerprint,
        "times": [round(float(t), 6) for t in origin.edges],
    }
    write_json(origin_path(features), values, indent=None)


def read_origin(features: Path) -> Origin | None:
    """What is said of a feature file; None where nothing is. Raises DataError where it cannot be read."""
    path = origin_path(features)
    if not path.is_file():
        return None
    try:
        values = _OriginFile.model_validate(read_json(path))
    except ValidationError as error:
        raise DataError(f"{path}: {first_validation_error(error)}; extract the features again") from error
    edges = np.array(values.times)
    if not np.all(np.diff(edges) > 0):
        raise DataError(f"{path}: the recorded times do not ascend; extract the features again")
    provenance = parse_provenance(values.provenance, str(path))
    return Origin(provenance, edges, values.precision, values.video, values.fingerprint, values.wtal)
