"""THUMOS14's shape beside what the field's public code takes for it: a training step, inference, localization.

The peers' figures were measured on two cores too, on synthetic features of this shape, but not in this run: they
say how far apart things are, and no more.
"""

import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.evaluation import class_names, localization, read_canned
from benchmarks.measure import SHARED, command, seconds
from wtal.core.config import parse_config
from wtal.data.batching import TrainingDataset
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.ground_truth import read_ground_truth
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import EvaluationOptions
from wtal.inference.localizer import Network, score_videos
from wtal.models import checkpoint
from wtal.models.dfe import DFE, GlobalBranch
from wtal.training.trainer import train

STEPS = 40
# Parameters in millions, batch x T of a step, its s, peak MB; s of test forward, of proposals and NMS, of mAP.
PEERS = (
    "CO2-Net | 46.7 | 10 x 500 | 3.42 | 3,037 | 17.7 | 1.16 | 9.2",
    "DELU | 46.7 | 10 x 320 | 1.97 | 2,823 | 14.7 | 2.17 | 15.7",
    "DDG-Net | 29.9 | 10 x 320 | 2.51 | 3,118 | 56 to 166 | 1.15 | 11.4",
    "CoLA | 12.6 | 16 x 750 | 6.10 | 1,362 | 31.7 | 4.59 | 8.7",
    "BaS-Net | 26.3 | 16 x 750 | 11.90 | 2,109 | 101 | 1.49 | 6.7",
)


def rows() -> list[str]:
    """Lines of Markdown; says so where the shared annotations are absent."""
    annotations = SHARED / "thumos14" / "Thumos14reduced-Annotations"
    if not annotations.is_dir():
        return ["not measured: the THUMOS14 annotations are not beside the project"]
    place = Path(tempfile.mkdtemp())
    try:
        command("rehearse", str(annotations), str(place / "data"))
        return _measured(load_dataset(place / "data"), place)
    finally:
        shutil.rmtree(place)


def _measured(folder: Dataset, place: Path) -> list[str]:
    data, out, steps = str(folder.path), str(place / "run"), f"train.steps={STEPS}"
    _, training_peak = command("train", data, "--out", out, "--set", steps, "--set", f"train.save_every={STEPS}")
    _, test_peak = command("localize", out, data)
    step = _step(folder, place / "again")
    loading = _loading(TrainingDataset(folder, 0))
    both, meta = checkpoint.load_both(place / "run")
    assert isinstance(both, DFE)
    local, _ = checkpoint.load_local(place / "run")
    alone, together = (_inference(network, folder, meta) for network in (local, GlobalBranch(both)))
    truth = read_ground_truth(SHARED / "thumos14" / "acmnet_gt.json")
    proposing, found = localization(read_canned(), class_names(truth))
    scoring = seconds(lambda: evaluate(found, truth, EvaluationOptions("thumos14-snippet")))
    lines = [
        "| | parameters, M | batch x T | s a step | peak MB | test forward, s | proposals and NMS, s | mAP, s |",
        "|---|---|---|---|---|---|---|---|",
        *(f"| {peer} |" for peer in PEERS),
        f"| **ours** | {_parameters(both) / 1e6:.1f} | 10 x 320 | **{step:.2f}** | {training_peak:,.0f} "
        f"| **{alone:.1f}** | **{proposing:.2f}** | **{scoring:.2f}** |",
        "",
        f"Loading is {100 * loading / step:.0f} % of a step: {1000 * loading:.0f} ms, files in the system's cache.",
        f"`wtal localize` of the 212 test videos, all in all: {test_peak:,.0f} MB at the peak.",
        "",
        "| the 212 test videos | parameters | GFLOP | s |",
        "|---|---|---|---|",
    ]
    snippets = sum(len(folder.features(video.id)) for video in folder.subset("testing"))
    for name, network, module, took in (
        ("local branch alone", local, local, alone),
        ("local and global", GlobalBranch(both), both, together),
    ):
        operations = _operations(network, sum(folder.modalities)) * snippets / 1e9
        lines.append(f"| {name} | {_parameters(module):,} | {operations:.0f} | {took:.2f} |")
    return lines


def _step(folder: Dataset, run: Path) -> float:
    """Median seconds of a step, the first ones left out."""
    config = parse_config({"train": {"steps": STEPS, "save_every": STEPS, "batch_size": 10, "snippets": 320}})
    at: list[float] = []
    train(config, folder, run, device="cpu", on_progress=lambda *_: at.append(time.perf_counter()))
    return median(np.diff(at)[5:])


def _loading(data: TrainingDataset) -> float:
    taken = []
    for step in range(STEPS):
        start = time.perf_counter()
        data.batch(step, 10, 320)
        taken.append(time.perf_counter() - start)
    return median(taken[5:])


def _inference(network: Network, folder: Dataset, meta: checkpoint.ModelMetadata) -> float:
    """Best of three passes over the test videos: reading, the network, snippet scores."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in score_videos(network, folder, folder.subset("testing"), meta.config):
            pass
        taken.append(time.perf_counter() - start)
    return min(taken)


def _operations(network: Network, width: int) -> float:
    """Floating-point operations a snippet."""
    x, mask = torch.randn(1, 1000, width), torch.ones(1, 1000, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x, mask, None)
    return counter.get_total_flops() / 1000


def _parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
