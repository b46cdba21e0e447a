"""Speed and memory on data of THUMOS14's shape, beside public code of other methods.

Their figures were measured on two cores too, with synthetic features of this shape, but not in this run: they show the
order of magnitude only.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.evaluation import class_names, measure_localization, read_scores
from benchmarks.measure import elapsed, median_seconds, num_parameters, run_command, shared_path
from wtal.core.config import parse_config
from wtal.core.text import markdown_table
from wtal.data.batching import TrainingDataset
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.ground_truth import read_ground_truth
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import EvaluationOptions
from wtal.inference.localizer import Localizer
from wtal.models.checkpoint import load_model
from wtal.training.trainer import fit

STEPS, WARMUP_STEPS = 40, 5
BATCH_SIZE, SNIPPETS = 10, 320
HEADER = (
    "method",
    "parameters, M",
    "batch x T",
    "s per step",
    "peak MB",
    "test forward, s",
    "proposals and NMS, s",
    "mAP, s",
)
PEERS = (
    ("CO2-Net", "46.7", "10 x 500", "3.42", "3,037", "17.7", "1.16", "9.2"),
    ("DELU", "46.7", "10 x 320", "1.97", "2,823", "14.7", "2.17", "15.7"),
    ("DDG-Net", "29.9", "10 x 320", "2.51", "3,118", "56 to 166", "1.15", "11.4"),
    ("CoLA", "12.6", "16 x 750", "6.10", "1,362", "31.7", "4.59", "8.7"),
    ("BaS-Net", "26.3", "16 x 750", "11.90", "2,109", "101", "1.49", "6.7"),
)


def measure() -> list[str]:
    """The lines of the section."""
    annotations = shared_path("thumos14", "Thumos14reduced-Annotations")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        run_command("rehearse", str(annotations), str(data), module="benchmarks")
        return _measure(load_dataset(data), Path(folder))


def _measure(dataset: Dataset, folder: Path) -> list[str]:
    data, run = str(dataset.path), str(folder / "run")
    settings = ("--method", "local", "--set", f"train.steps={STEPS}", "--set", f"train.save_every={STEPS}")
    training = run_command("train", data, "--out", run, *settings)
    testing = run_command("localize", run, data)
    stage_one = _training_step(dataset, "local", folder / "stage-one", None)
    stage_two = _training_step(dataset, "dfe", folder / "stage-two", _random_targets(dataset))
    loading = _loading(TrainingDataset(dataset, 0))
    network, _ = load_model(folder / "run")
    seconds = _inference(Localizer(folder / "run"), dataset)
    truth = read_ground_truth(shared_path("thumos14", "acmnet_gt.json"))
    localization, proposals = measure_localization(read_scores(), class_names(truth))
    scoring = median_seconds(lambda: evaluate(proposals, truth, EvaluationOptions("thumos14-snippet")))
    wtal = (
        "**wtal**",
        f"{num_parameters(network) / 1e6:.1f}",
        f"{BATCH_SIZE} x {SNIPPETS}",
        f"**{stage_one:.2f}**",
        f"{training.peak:,.0f}",
        f"**{seconds:.1f}**",
        f"**{localization:.2f}**",
        f"**{scoring:.2f}**",
    )
    width, snippets = sum(dataset.modalities), sum(len(dataset.features(v.id)) for v in dataset.subset("testing"))
    return [
        *markdown_table(HEADER, [*PEERS, wtal]),
        "",
        "*Proposals and NMS* of wtal is without the refinement of boundaries, which is measured above. The step is one "
        f"of stage one. A step of stage two takes {stage_two:.2f} s, {stage_two / stage_one:.2f} times as long. "
        f"Loading takes {100 * loading / stage_one:.0f} % of a step ({1000 * loading:.0f} ms, page cache). "
        f"`wtal localize` of the 212 testing videos: {testing.peak:,.0f} MB at the peak, "
        f"{_flops(network, width) * snippets / 1e9:.0f} GFLOP.",
    ]


def _random_targets(dataset: Dataset) -> dict[str, torch.Tensor]:
    """Class probabilities as from a teacher; their values do not change the time of a step."""
    classes = len(dataset.classes) + 1
    return {
        video.id: torch.rand(len(dataset.features(video.id)), classes).softmax(-1)
        for video in dataset.subset("training")
    }


def _training_step(dataset: Dataset, method: str, run: Path, targets: Mapping[str, torch.Tensor] | None) -> float:
    """Median seconds of a training step."""
    settings = {"steps": STEPS, "save_every": STEPS, "batch_size": BATCH_SIZE, "snippets": SNIPPETS}
    times: list[float] = []
    fit(
        parse_config({"method": method, "train": settings}),
        dataset,
        run,
        device="cpu",
        targets=targets,
        on_progress=lambda step, losses: times.append(time.perf_counter()),
    )
    return median(np.diff(times)[WARMUP_STEPS:])


def _loading(dataset: TrainingDataset) -> float:
    """Median seconds to load a batch."""
    times = [elapsed(lambda step=step: dataset.batch(step, BATCH_SIZE, SNIPPETS)) for step in range(STEPS)]
    return median(times[WARMUP_STEPS:])


def _inference(localizer: Localizer, dataset: Dataset) -> float:
    """Seconds to read the testing videos and compute their snippet scores: the best of three passes."""
    videos = dataset.subset("testing")
    return min(elapsed(lambda: list(localizer.score_videos(dataset, videos))) for _ in range(3))


def _flops(network: torch.nn.Module, width: int) -> float:
    """Floating-point operations per snippet."""
    x, mask = torch.randn(1, 1000, width), torch.ones(1, 1000, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x, mask)
    return counter.get_total_flops() / 1000
