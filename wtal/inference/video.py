"""Video in, timeline out: from video files and a trained model to proposals, with no step between."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.core.structures import Segment
from wtal.data.video_files import VideoListing, ids_of_paths
from wtal.inference.localizer import snippet_scores
from wtal.inference.proposals import generate_proposals
from wtal.models import checkpoint
from wtal.video.backbones.base import Backbone
from wtal.video.backbones.registry import BACKBONES, BackboneOptions, open_backbone
from wtal.video.extract_video import extract_features


@dataclass(frozen=True)
class VideoPrediction:
    """What was found in one video file: proposals in seconds, the surest first; from `start` to `end` it was seen.

    `reason` is why there is none, "" where there is one.
    """

    id: str
    video: Path
    start: float = 0.0
    end: float = 0.0
    proposals: tuple[Segment, ...] = ()
    reason: str = ""


def predict_videos(
    run: Path,
    videos: Sequence[Path],
    choice: BackboneOptions | None = None,
    heard: Callable[[int, float], None] = lambda done, second: None,
    listing: VideoListing | None = None,
) -> Iterator[VideoPrediction]:
    """The timeline of each video file, by the local branch of a run and the backbone that it was trained with.

    `choice` says the device and, where they are not in their usual place, the weights or the model's folder.
    `heard` is told the videos done and the second reached in the next. A video that cannot be read has a reason.
    Files in `listing`, the videos of a data set, get the ids that they have there; see `ids_of_paths`.
    Raises CheckpointError where the model's features come from elsewhere, or from another backbone than chosen.
    """
    network, meta = checkpoint.load_local(run)
    backbone = open_backbone_of(run, meta, choice or BackboneOptions(""))
    for done, (id, video) in enumerate(zip(ids_of_paths(videos, listing), videos, strict=True)):
        try:
            features, origin = extract_features(video, backbone, partial(heard, done))
        except DataError as error:
            yield VideoPrediction(id, video, reason=str(error))
            continue
        scores = snippet_scores(network, features, meta.config)
        proposals = generate_proposals(scores, meta.classes, origin.clock, meta.config.localize)
        yield VideoPrediction(id, video, float(origin.edges[0]), float(origin.edges[-1]), tuple(proposals))


def open_backbone_of(run: Path, meta: checkpoint.ModelMetadata, options: BackboneOptions) -> Backbone:
    """Open the backbone whose features a model was trained on.

    Raises:
        CheckpointError: The backbone is not recorded, not available, or another one than the options name.
        ConfigError: An option is missing or not supported.
    """
    expected = meta.provenance
    if expected is None:
        raise CheckpointError(
            "the backbone of the features that the model was trained on is not recorded",
            path=run,
            hint="train on features of `wtal extract`, or use `wtal localize`",
            code="unknown-provenance",
        )
    if expected.backbone not in BACKBONES:
        raise CheckpointError(
            f"the model was trained on {expected}, which cannot be extracted here",
            path=run,
            hint="use `wtal localize` with such features",
            code="unknown-backbone",
        )
    if expected.flow and options.flow_weights is None:
        raise ConfigError(
            f"the model was trained on {expected}",
            path=run,
            hint="add I3D's flow weights with --flow-weights",
            code="missing-option",
        )
    is_other_name = options.name in BACKBONES and options.name != expected.backbone  # reported before weights are read
    backbone = None if is_other_name else open_backbone(replace(options, name=options.name or expected.backbone))
    if backbone is None or backbone.provenance != expected:
        raise CheckpointError(
            f"the model was trained on {expected}, not on {backbone.provenance if backbone else options.name}",
            path=run,
            hint="leave --backbone and --weights out, or train a model on these features",
            code="provenance-mismatch",
        )
    return backbone
