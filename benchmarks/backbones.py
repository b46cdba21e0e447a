"""How much more accurate I3D is than tiny on real videos: GMDCSA24, each person predicted by a model of the others.

Trains the method `local` on the tags of three of the four people, predicts the fourth, and scores all predictions
together: mAP (%) over tIoU 0.1:0.7, of the videos that have times for all their labels.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import shared_path
from wtal.core.config import parse_config
from wtal.core.structures import Proposals
from wtal.data.create import create_dataset
from wtal.data.dataset import Dataset, load_dataset
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import EvaluationOptions
from wtal.inference.localizer import Localizer
from wtal.training.stages import train
from wtal.video.backbones.base import BackboneOptions
from wtal.video.extract_dataset import extract_dataset

SEEDS = 2


def main() -> None:
    """Print the scores of each backbone."""
    clips = shared_path("videos", "gmdcsa24")
    with TemporaryDirectory() as folder:
        for backbone in ("tiny", "i3d"):
            data = Path(folder, backbone)
            create_dataset(data, clips, [clips])
            extract_dataset(data, BackboneOptions(backbone, device="cpu"))
            scores = [_score(load_dataset(data), Path(folder, "runs", backbone), seed) for seed in range(SEEDS)]
            print(backbone, " ".join(f"{score:.1f}" for score in scores), f"mean {sum(scores) / SEEDS:.1f}", flush=True)


def _score(dataset: Dataset, runs: Path, seed: int) -> float:
    """mAP (%) of the predictions for all people."""
    proposals: Proposals = {}
    people = sorted({video.id.partition("__")[0] for video in dataset.videos})
    for person in people:
        left_out = [video for video in dataset.videos if video.id.startswith(f"{person}__")]
        others = tuple(video for video in dataset.videos if video not in left_out)
        run = runs / f"{person}-{seed}"
        train(parse_config({"method": "local", "train": {"seed": seed}}), replace(dataset, videos=others), run)
        for video, result in Localizer(run).localize_videos(dataset, left_out):
            proposals[video.id] = result.segments
    timed = [video for video in dataset.videos if {s.label for s in video.segments} == set(video.labels)]
    truth = [replace(video, subset="testing") for video in timed]
    options = EvaluationOptions(subset="testing")
    return 100 * evaluate({video.id: proposals[video.id] for video in truth}, truth, options).average()
