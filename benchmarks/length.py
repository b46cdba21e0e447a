"""Time and memory of a training step, inference and localization for videos of a hundred to a million snippets.

Each point is measured in a process of its own, so that its peak memory is its own. Also draws benchmarks/length.png.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.figures import open_figure
from benchmarks.measure import ROOT, elapsed, process_memory, run_in_process
from wtal.core.clock import SnippetClock
from wtal.core.config import Config, parse_config
from wtal.core.text import markdown_table
from wtal.data.batching import Batch
from wtal.inference.localizer import snippet_scores
from wtal.inference.proposals import SnippetScores, generate_proposals
from wtal.models.local_branch import build_model
from wtal.training.criterion import compute_loss

LENGTHS = (100, 1_000, 10_000, 100_000, 1_000_000)
MAX_REPEATED_LENGTH = 10_000  # longer videos are measured once
WEEK = 945_000  # snippets of 16 frames at 25 frames per second
CLASSES, WIDTHS, WEEK_WIDTHS = 20, (64, 64), (1024, 1024)
NARROW = parse_config({"model": {"width": 16}})  # so that training on a million snippets fits into memory
FIGURE = ROOT / "benchmarks" / "length.png"

Task = Callable[[int, Path], Callable[[], object]]  # (snippets, folder) -> the work to be measured


def measure() -> list[str]:
    """The lines of the section."""
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in TASKS}
    for length in LENGTHS:
        for name in TASKS:
            points[name].append(run_in_process(_measure_task, name, length))
            print(f"{length:,} snippets, {name}: {points[name][-1]}", file=sys.stderr, flush=True)
    _draw(points)
    header = ["snippets", *(column for name in TASKS for column in (f"{name}, s", "MB"))]
    rows = []
    for index, length in enumerate(LENGTHS):
        values = [points[name][index] for name in TASKS]
        cells = [cell for seconds, peak in values for cell in (f"{seconds:.4f}", f"{peak:.0f}")]
        rows.append([f"{length:,}", *cells])
    seconds, peak = run_in_process(_measure_task, "week", WEEK)
    return [
        "One training step (width 16, batch size 1), snippet scores by the local branch from a memory-mapped file "
        f"({sum(WIDTHS)} features per snippet), and proposals for {CLASSES} classes. Memory is in MB beyond that of "
        "the process before the work.",
        "",
        *markdown_table(header, rows),
        "",
        "`benchmarks/length.png` shows these numbers with logarithmic axes.",
        "",
        f"A week of video, {WEEK:,} snippets with 2 x 1024 features (7.7 GB on disk): scores and proposals in "
        f"{seconds:.0f} s, {peak:.0f} MB.",
    ]


def _training(length: int, _: Path) -> Callable[[], object]:
    torch.manual_seed(0)
    model = build_model(NARROW, WIDTHS, CLASSES)
    batch = Batch(torch.randn(1, length, sum(WIDTHS)), torch.ones(1, length, dtype=torch.bool), torch.eye(CLASSES)[:1])

    def step() -> None:
        compute_loss(model(batch.features, batch.mask), batch, NARROW)[0].backward()

    return step


def _inference(length: int, folder: Path, widths: tuple[int, int] = WIDTHS) -> Callable[[], object]:
    network = build_model(Config(), widths, CLASSES).eval()
    features = _write_features(folder / "features.npy", length, sum(widths))
    return lambda: snippet_scores(network, features, Config())


def _localization(length: int, _: Path) -> Callable[[], object]:
    scores = _make_scores(length)
    return lambda: _localize(scores)


def _week(length: int, folder: Path) -> Callable[[], object]:
    score = _inference(length, folder, WEEK_WIDTHS)

    def score_and_localize() -> None:
        score()
        _localize(_make_scores(length))  # scores of a trained network: an untrained one would propose everything

    return score_and_localize


TASKS: Mapping[str, Task] = {"training": _training, "inference": _inference, "localization": _localization}


def _make_scores(length: int) -> SnippetScores:
    """Scores with actions of about twenty snippets, and noise."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(length, CLASSES + 1)).astype(np.float32)
    for _ in range(3):
        logits[1:-1] = (logits[:-2] + logits[1:-1] + logits[2:]) / 3
    weights = np.exp(4 * logits / logits.std())
    cas = weights / weights.sum(1, keepdims=True)
    video_scores = np.full(CLASSES, 0.01, np.float32)
    video_scores[:3] = 0.3
    return SnippetScores(1 - cas[:, -1], cas, video_scores)


def _localize(scores: SnippetScores) -> object:
    classes = [str(index) for index in range(CLASSES)]
    return generate_proposals(scores, classes, SnippetClock(16 / 25), Config().localize)


def _write_features(path: Path, length: int, width: int) -> np.ndarray:
    """A memory-mapped file of random features, written in blocks."""
    features = np.lib.format.open_memmap(path, "w+", np.float32, (length, width))
    block = np.random.default_rng(0).standard_normal((4096, width), np.float32)
    for start in range(0, length, len(block)):
        features[start : start + len(block)] = block[: length - start]
    features.flush()
    del features
    return np.load(path, mmap_mode="r")


def _measure_task(name: str, length: int) -> tuple[float, float]:
    """Seconds and MB of a task."""
    with tempfile.TemporaryDirectory() as folder:
        work = (TASKS | {"week": _week})[name](length, Path(folder))
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        # Pages mapped from files are left out: the system can drop them at any time.
        baseline = process_memory("RssAnon")
        seconds = elapsed(work)
        peak = process_memory("VmHWM") - process_memory("RssFile") - baseline
        if length <= MAX_REPEATED_LENGTH:
            seconds = median(elapsed(work) for _ in range(5))
    return seconds, max(0.0, peak)


def _draw(points: Mapping[str, list[tuple[float, float]]]) -> None:
    with open_figure(FIGURE, 2, 9, 3.6) as (_, grid):
        for column, (axes, title) in enumerate(zip(grid, ("seconds", "MB"), strict=True)):
            for name, values in points.items():
                axes.loglog(LENGTHS, [value[column] for value in values], marker="o", label=name)
            unit = points["inference"][-1][column] / LENGTHS[-1]
            axes.loglog(LENGTHS, [unit * length for length in LENGTHS], color="0.7", linestyle=":", label="linear")
            axes.set(xlabel="snippets", title=title)
            axes.grid(alpha=0.3)
        grid[0].legend(frameon=False)
