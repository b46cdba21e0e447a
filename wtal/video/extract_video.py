"""Extract the features of one video with one backbone: into memory, or into a feature file with its origin."""

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wtal.core.concurrency import prefetch
from wtal.core.errors import DataError, short_message
from wtal.core.fingerprint import sampled_fingerprint
from wtal.core.io import to_data_error
from wtal.data.features import write_features_in_parts
from wtal.data.provenance import Origin, write_origin
from wtal.video.backbones.base import Backbone, BackboneOptions
from wtal.video.backbones.registry import open_backbone
from wtal.video.reader import read_snippets
from wtal.video.sampling import Snippet

PREFETCHED_BATCHES = 2  # decoded while the backbone works
MAX_FLOAT16 = np.finfo(np.float16).max

ProgressCallback = Callable[[float], object]  # receives the second of the video up to which features are extracted


def extract_features(
    video: str | os.PathLike[str],
    backbone: str | Backbone | BackboneOptions = "tiny",
    on_progress: ProgressCallback | None = None,
) -> tuple[NDArray[np.float16], Origin]:
    """Extract the features of a video file.

    The result equals the files that `wtal extract` writes.

    Args:
        video: The video file.
        backbone: A name in `BACKBONES` (`tiny`, `i3d`, ...), the folder of a transformers model, or `BackboneOptions`
            to choose weights, device and precision as well. To extract many videos, open the backbone once with
            `open_backbone` and pass it.
        on_progress: Called after each batch with the second of the video that has been reached.

    Returns:
        Features, T x D, and their origin: `origin.edges` are the T + 1 snippet boundaries in seconds, `origin.clock`
        converts between seconds and snippets, and `origin.provenance` describes backbone, weights and sampling.

    Raises:
        DataError: The video cannot be decoded, or the weights are missing or unsuitable.
        ConfigError: The backbone or an option is unknown.

    Example:
        >>> features, origin = wtal.extract_features("garden.mp4")
        >>> features.shape
        (13, 190)
        >>> origin.clock.seconds([0, 1])
        array([0.  , 0.48])
    """
    path, opened = Path(video), open_backbone(backbone)
    edges: list[float] = []
    parts = list(_extract_in_parts(path, opened, edges, on_progress))
    return np.concatenate(parts), _origin(path, opened, edges)


def extract_video(video: Path, features: Path, backbone: Backbone, on_progress: ProgressCallback | None = None) -> int:
    """Extract the features of a video into a file, completely or not at all. Memory does not grow with the length.

    Args:
        video: The video file.
        features: The .npy file to write. Its origin is written beside it with the suffix .json.
        backbone: An open backbone.
        on_progress: As in `extract_features`.

    Returns:
        The number of snippets.

    Raises:
        DataError: The video cannot be decoded (`path` is the video), or a file cannot be written.
    """
    edges: list[float] = []

    def parts() -> Iterator[NDArray[np.float16]]:
        yield from _extract_in_parts(video, backbone, edges, on_progress)
        write_origin(features, _origin(video, backbone, edges))  # before the .npy, which is never without its origin

    return write_features_in_parts(features, parts())


def _extract_in_parts(
    video: Path, backbone: Backbone, edges: list[float], on_progress: ProgressCallback | None
) -> Iterator[NDArray[np.float16]]:
    """Features batch by batch, n x D. The starts of the snippets and the last end are appended to `edges`."""
    batches = _batched(read_snippets(video, backbone.sampling), backbone.batch_size)
    for batch in prefetch(batches, PREFETCHED_BATCHES):
        features = _compute_features(video, backbone, batch)
        if not np.isfinite(features).all() or np.abs(features).max() > MAX_FLOAT16:
            raise DataError(
                "the backbone computed features that are not finite in float16",
                path=video,
                hint="use --precision float32",
                code="not-finite",
            )
        edges[-1:] = [snippet.start for snippet in batch] + [batch[-1].end]
        if on_progress:
            on_progress(batch[-1].end)
        yield features.astype(np.float16)


def _batched(snippets: Iterator[Snippet], size: int) -> Iterator[list[Snippet]]:
    while batch := list(islice(snippets, size)):
        yield batch


def _compute_features(video: Path, backbone: Backbone, batch: list[Snippet]) -> NDArray[np.float32]:
    """Features of a batch, n x D. A failure of the backbone, mostly of memory, is an error of the video."""
    try:
        return backbone(np.stack([snippet.frames for snippet in batch]))
    except (MemoryError, RuntimeError, ArithmeticError, LookupError) as error:
        raise DataError(
            f"the backbone failed ({short_message(error)})",
            path=video,
            hint="free some memory, or use another --device",
            code="backbone-failed",
        ) from error


def _origin(video: Path, backbone: Backbone, edges: list[float]) -> Origin:
    try:
        fingerprint = sampled_fingerprint(video)
    except OSError as error:  # deleted meanwhile
        raise to_data_error(error, video) from error
    return Origin(backbone.provenance, np.array(edges), backbone.precision, video.name, fingerprint)
