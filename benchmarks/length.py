"""Time and memory as a video grows from a hundred snippets to a million: `python -m benchmarks length`.

Each point is measured in a process of its own, so that its peak memory is its own.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import matplotlib
import numpy as np
import torch

from benchmarks.measure import ROOT
from wtal.core.clock import SnippetClock
from wtal.core.config import Config, parse_config
from wtal.data.batching import Batch
from wtal.inference.localizer import snippet_scores
from wtal.inference.proposals import SnippetScores, generate_proposals
from wtal.models.dfe import build_local_branch, build_model
from wtal.training.criterion import compute_loss, forward_branches

LENGTHS = (100, 1_000, 10_000, 100_000, 1_000_000)
WEEK = 945_000  # snippets of 16 frames at 25 a second
CLASSES, WIDTHS = 20, (64, 64)
NARROW = parse_config({"model": {"width": 16}})  # a million snippets at once must fit into memory to train on
PICTURE = ROOT / "benchmarks" / "length.png"


def rows() -> list[str]:
    """Lines of Markdown, and a log-log plot beside RESULTS.md."""
    lines = ["| snippets | " + " | ".join(f"{name}, s | MB" for name in TASKS) + " |"]
    lines.append("|---" * (1 + 2 * len(TASKS)) + "|")
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in TASKS}
    for length in LENGTHS:
        for name, points in measured.items():
            points.append(_apart(name, length))
        cells = " | ".join(f"{took:.4f} | {peak:.0f}" for took, peak in (points[-1] for points in measured.values()))
        lines.append(f"| {length:,} | {cells} |")
        print(lines[-1], flush=True)
    _plot(measured)
    took, peak = _apart("a week", WEEK)
    return [
        "One step of training (both branches, width 16, batch of one), snippet scores by the local branch from a",
        f"memory-mapped file ({sum(WIDTHS)} numbers a snippet), and proposals of {CLASSES} classes; MB beyond the",
        "process before it began.",
        "",
        *lines,
        "",
        "Drawn in `benchmarks/length.png`, both axes logarithmic.",
        "",
        f"A week of video, {WEEK:,} snippets of 2 x 1024 numbers (7.7 GB on disk): scores and proposals in "
        f"{took:.0f} s, {peak:.0f} MB.",
    ]


def _training(length: int, _: Path) -> Callable[[], object]:
    torch.manual_seed(0)
    model = build_model(NARROW, WIDTHS, CLASSES)
    batch = Batch(torch.randn(1, length, sum(WIDTHS)), torch.ones(1, length, dtype=torch.bool), torch.eye(CLASSES)[:1])

    def step() -> None:
        branches = forward_branches(model, batch, NARROW, 400)
        compute_loss(model, *branches, batch, NARROW, 400)[0].backward()

    return step


def _inference(length: int, place: Path, widths: tuple[int, int] = WIDTHS) -> Callable[[], object]:
    network = build_local_branch(Config(), widths, CLASSES).eval()
    features = _made_up(place / "features.npy", length, sum(widths))
    return lambda: snippet_scores(network, features, Config())


def _localization(length: int, _: Path) -> Callable[[], object]:
    scores = _scores(length)
    return lambda: _proposals(scores)


def _week(length: int, place: Path) -> Callable[[], object]:
    score = _inference(length, place, (1024, 1024))

    def both() -> None:
        score()
        _proposals(_scores(length))  # of a network that has learned something: noise would propose everything

    return both


TASKS: Mapping[str, Callable[[int, Path], Callable[[], object]]] = {
    "training": _training,
    "inference": _inference,
    "localization": _localization,
}


def _scores(length: int) -> SnippetScores:
    """Actions of some twenty snippets, noise over them."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(length, CLASSES + 1)).astype(np.float32)
    for _ in range(3):
        steps[1:-1] = (steps[:-2] + steps[1:-1] + steps[2:]) / 3
    weights = np.exp(4 * steps / steps.std())
    cas = weights / weights.sum(1, keepdims=True)
    video = np.full(CLASSES, 0.01, np.float32)
    video[:3] = 0.3
    return SnippetScores(1 - cas[:, -1], cas, video)


def _proposals(scores: SnippetScores) -> object:
    classes = [str(c) for c in range(CLASSES)]
    return generate_proposals(scores, classes, SnippetClock(16 / 25), Config().localize)


def _made_up(path: Path, length: int, width: int) -> np.ndarray:
    """A file of features, written in pieces and mapped."""
    features = np.lib.format.open_memmap(path, "w+", np.float32, (length, width))
    piece = np.random.default_rng(0).standard_normal((4096, width), np.float32)
    for start in range(0, length, len(piece)):
        features[start : start + len(piece)] = piece[: length - start]
    features.flush()
    del features
    return np.load(path, mmap_mode="r")


def _apart(name: str, length: int) -> tuple[float, float]:
    """Seconds and MB of one point, in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        words = [sys.executable, "-m", "benchmarks.length", name, str(length), place]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    took, peak = done.stdout.split()
    return float(took), float(peak)


def _resident(mark: str) -> float:
    return int(Path("/proc/self/status").read_text().split(f"{mark}:")[1].split()[0]) / 1024


def _measure(name: str, length: int, place: Path) -> None:
    work = _week(length, place) if name == "a week" else TASKS[name](length, place)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _resident("RssAnon")  # pages mapped from files do not count: the system can drop them at any time
    first = _seconds(work)
    peak = _resident("VmHWM") - _resident("RssFile") - before
    took = median(_seconds(work) for _ in range(5)) if length <= 10_000 else first
    print(took, max(0.0, peak))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _plot(measured: Mapping[str, list[tuple[float, float]]]) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for column, (axis, title) in enumerate(zip(axes, ("seconds", "MB"), strict=True)):
        for name, points in measured.items():
            axis.loglog(LENGTHS, [point[column] for point in points], marker="o", label=name)
        unit = measured["inference"][-1][column] / LENGTHS[-1]
        axis.loglog(LENGTHS, [unit * length for length in LENGTHS], color="0.7", linestyle=":", label="linear")
        axis.set(xlabel="snippets", title=title)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.savefig(PICTURE, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    _measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
