"""Localize the actions in video files."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.structures import Segment
from wtal.data.video_files import VideoInput, find_videos, read_listing
from wtal.inference.kinetics400 import NAME, resolve_model
from wtal.inference.localizer import Localization, Localizer


@dataclass(frozen=True)
class VideoPrediction:
    """The result for one video file.

    Attributes:
        id: The id of the video.
        video: The file.
        start: Start of the first snippet in seconds.
        end: End of the last snippet in seconds.
        proposals: Segments, highest-scoring first.
        error: Why the file cannot be read; None if it can.
    """

    id: str
    video: Path
    start: float = 0.0
    end: float = 0.0
    proposals: tuple[Segment, ...] = ()
    error: DataError | None = None

    @classmethod
    def from_localization(cls, video: VideoInput, result: Localization) -> "VideoPrediction":
        """The result of the localizer for a video."""
        times = result.times
        return cls(video.id, video.path, float(times[0]), float(times[-1]), tuple(result.segments))


def predict_videos(
    localizer: Localizer,
    videos: Sequence[VideoInput],
    on_progress: Callable[[int, float], object] = lambda index, second: None,
) -> Iterator[VideoPrediction]:
    """Localize the actions in video files in this process, one file at a time.

    Args:
        localizer: The model.
        videos: The files.
        on_progress: Called with the index of the file and the second that has been reached in it.

    Raises:
        CheckpointError: The backbone of the model's features is not known or not available.
        ConfigError: An option of the backbone is missing or not supported.
    """
    _ = localizer.backbone  # opened now, so that its errors are not taken for errors of a file
    for index, video in enumerate(videos):
        try:
            result = localizer.localize(video.path, on_progress=partial(on_progress, index))
        except DataError as error:
            yield VideoPrediction(video.id, video.path, error=error)
        else:
            yield VideoPrediction.from_localization(video, result)


def predict(
    videos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    model: str | os.PathLike[str] | Localizer = NAME,
    *,
    data: str | os.PathLike[str] | None = None,
    on_progress: Callable[[int, float], object] = lambda index, second: None,
) -> dict[str, list[Segment]]:
    """Predict the segments of video files.

    `wtal.inference.prediction_folder.predict_into` writes them into a folder, in several processes and resumable.

    Args:
        videos: A video file, a folder of videos, or several of them.
        model: A run or model folder, a model on the hub, or an open `Localizer`. By default the built-in model
            `kinetics400`: a fully supervised recognition model of 400 Kinetics classes, not trained on your classes.
        data: A data set folder; videos of this data set get the ids that they have there.
        on_progress: Called with the index of the file and the second that has been reached in it.

    Returns:
        All proposals by video id, highest score first; start and end in seconds.

    Raises:
        DataError: A video cannot be decoded, or a folder contains none.
        CheckpointError: There is no model, or its backbone is not known or not available.
        ConfigError: An option of the backbone is missing.

    Example:
        >>> for id, segments in wtal.predict("garden.mp4", "runs/mine").items():
        ...     print(id, segments[0].label, segments[0].start, segments[0].end, segments[0].score)
    """
    paths = [Path(videos)] if isinstance(videos, str | os.PathLike) else [Path(video) for video in videos]
    if not isinstance(model, Localizer):
        model = Localizer.from_pretrained(resolve_model(Path(model)) if Path(model) == Path(NAME) else model)
    listing = None if data is None else read_listing(Path(data))
    proposals = {}
    for prediction in predict_videos(model, find_videos(paths, listing)[0], on_progress):
        if prediction.error is not None:
            raise prediction.error
        proposals[prediction.id] = list(prediction.proposals)
    return proposals
