"""Video in, timeline out: from video files and a trained model to proposals, with no step between."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wtal.core.errors import CheckpointError, ConfigError, DataError
from wtal.core.structures import Segment
from wtal.data.provenance import Provenance
from wtal.data.video_files import VideoListing, ids_of_paths
from wtal.inference.localizer import snippet_scores
from wtal.inference.proposals import generate_proposals
from wtal.models import checkpoint
from wtal.video.backbones.base import Backbone
from wtal.video.backbones.registry import BUILT_IN, BackboneOptions, open_backbone, provenance_of
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


def open_backbone_of(run: Path, meta: checkpoint.ModelMetadata, choice: BackboneOptions) -> Backbone:
    """The backbone that a model's features come from. Raises CheckpointError naming both where it is not that."""
    wanted = meta.provenance
    if wanted is None:
        raise CheckpointError(
            f"{run}: nobody wrote down which backbone its features come from; "
            f"train on a folder whose features `wtal extract` made"
        )
    if wanted.flow and choice.flow_weights is None:
        raise ConfigError(f"{run}: was trained on {wanted}; name I3D's flow weights with --flow-weights")
    backbone = open_backbone(replace(choice, name=choice.name or _name(run, wanted)))
    if provenance_of(backbone) != wanted:
        raise CheckpointError(f"{run}: was trained on {wanted}; this is {provenance_of(backbone)}")
    return backbone


def _name(run: Path, wanted: Provenance) -> str:
    if wanted.backbone in BUILT_IN:
        return wanted.backbone
    from wtal.video.backbones.transformers import FAMILIES

    if wanted.backbone in FAMILIES:
        raise ConfigError(f"{run}: was trained on {wanted}; name the folder of that model with --backbone")
    raise CheckpointError(f"{run}: was trained on {wanted}, which cannot be made here; use `wtal localize` on such")
