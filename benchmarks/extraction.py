"""I3D: right on real clips, fast on decoded pictures and from a 720p file, how near bfloat16 is to float32."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.measure import SHARED
from wtal.core.errors import DataError
from wtal.video.backbones.i3d import I3D, PIXEL_SCALE
from wtal.video.backbones.i3d_network import class_logits, load_trunk, pool_features
from wtal.video.backbones.i3d_weights import load_weights
from wtal.video.reader import read_snippets

CLIPS = SHARED / "videos" / "clips"
SHOWN = {
    "v_CricketShot_g04_c01_rgb.gif": "playing cricket",
    "v_SoccerJuggling_g23_c01.avi": "juggling soccer ball",
    "v_SoccerJuggling_g24_c01.avi": "juggling soccer ball",
    "R6llTwEh07w.mp4": "using segway",
    "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi": "cartwheeling",
    "basketball.mp4": "dunking basketball",
}
ROUNDS = 5
WINDOW, WINDOW_STEP = 32, 8  # frames that are classified at once; from one window to the next
CHUNK = 64  # pictures that the plain network is given at once, as most who use it do

# A process of its own, so that its peak memory is the road's (VmHWM: ru_maxrss begins with the parent's).
# Prints seconds of the video, seconds taken, peak MB.
EXTRACT = """
import re, sys, time, torch
from pathlib import Path
from wtal.video.backbones.base import BackboneOptions
from wtal.video.backbones.registry import open_backbone
from wtal.video.extract_video import extract_features
backbone = open_backbone(BackboneOptions("i3d", device="cpu", precision=sys.argv[2]))
start = time.perf_counter()
features, origin = extract_features(sys.argv[1], backbone)
took = time.perf_counter() - start
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(origin.edges[-1] - origin.edges[0], took, int(peak) / 1024)
"""


def rows() -> list[str]:
    """Lines of Markdown; says so where the weights or the shared data are absent."""
    if not CLIPS.is_dir():
        return ["not measured: the clips are not beside the project"]
    try:
        weights, digest = load_weights(None)
    except DataError as error:
        return [f"not measured: {error}"]
    backbones = {name: I3D(weights, digest, precision=name) for name in ("float32", "bfloat16")}
    return [
        f"Precision that `auto` takes here: {I3D(weights, digest).precision}.",
        "",
        *_named(weights),
        "",
        *_speed(weights, backbones),
        "",
        *_nearness(backbones),
        "",
        *_from_file(),
    ]


def class_probabilities(video: Path, weights: dict[str, torch.Tensor]) -> np.ndarray:
    """The probability of each class that I3D's published classifier predicts for a video, in float32.

    The logits of all windows of 32 frames, one every 8 frames and none beyond the ends, are averaged. This shows
    whether weights and decoding are right; features are not computed like this.
    """
    backbone = I3D(weights, "", precision="float32")
    features = [backbone(window[None]) for window in windows(video)]
    mean = torch.from_numpy(np.mean(features, 0))  # 1 x 1024
    return class_logits(mean, weights).softmax(1)[0].numpy()


def windows(video: Path) -> Iterator[np.ndarray]:
    """Windows of T x 224 x 224 x 3 with T = 32, or the length of a shorter video."""
    sampling = replace(I3D.sampling, stride=WINDOW_STEP, window=WINDOW_STEP)
    frames: list[np.ndarray] = []
    for snippet in read_snippets(video, sampling):
        count = max(1, round((snippet.end - snippet.start) * sampling.fps))  # the last snippet repeats its last frame
        frames = [*frames, *snippet.frames[:count]][-WINDOW:]
        if len(frames) == WINDOW:
            yield np.stack(frames)
    if len(frames) < WINDOW:
        yield np.stack(frames)


def _named(weights: dict[str, torch.Tensor]) -> list[str]:
    labels = (CLIPS / "label_map.txt").read_text().splitlines()
    lines = ["| clip | shows | found in float32 | probability |", "|---|---|---|---|"]
    for name, shown in SHOWN.items():
        found = class_probabilities(CLIPS / name, weights)
        lines.append(f"| {name[:28]} | {shown} | {labels[found.argmax()]} | {found.max():.3f} |")
    return lines


def _speed(weights: dict[str, torch.Tensor], backbones: dict[str, I3D]) -> list[str]:
    """Pictures a second, decoded beforehand; all ways in turn in each round, since the machine is shared."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (CHUNK // 16, 16, 224, 224, 3), dtype=np.uint8)
    network = load_trunk(weights)

    def as_published(chunks: np.ndarray) -> Callable[[], object]:
        x = torch.from_numpy(chunks).permute(0, 4, 1, 2, 3).float().div(PIXEL_SCALE).sub(1).contiguous()
        return torch.inference_mode()(lambda: pool_features(network(x)))

    def fast(backbone: I3D) -> Callable[[], object]:
        size = backbone.batch_size
        return lambda: [backbone(pictures[i : i + size]) for i in range(0, len(pictures), size)]

    two = as_published(pictures[:2])
    plainly = f"plain float32, {CHUNK} pictures at once"
    ways = {
        plainly: as_published(pictures.reshape(1, CHUNK, 224, 224, 3)),
        "plain float32, 2 snippets at once": lambda: [two(), two()],
        **{f"ours, {name}": fast(backbone) for name, backbone in backbones.items()},
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - start)
    seconds = {name: median(times[1:]) for name, times in taken.items()}  # the first of each warms up
    lines = [
        "| decoded pictures, 224 x 224 | pictures a second | best | times the plain one |",
        "|---|---|---|---|",
    ]
    for name, took in seconds.items():
        best = CHUNK / min(taken[name][1:])
        lines.append(f"| {name} | {CHUNK / took:.1f} | {best:.1f} | {seconds[plainly] / took:.1f} |")
    return lines


def _nearness(backbones: dict[str, I3D]) -> list[str]:
    apart = []
    for name in SHOWN:
        for snippet in read_snippets(CLIPS / name, I3D.sampling):
            exact, found = (backbones[p](snippet.frames[None])[0] for p in ("float32", "bfloat16"))
            apart.append(float(np.linalg.norm(found - exact) / np.linalg.norm(exact)))
    return [
        f"bfloat16 features against float32, {len(apart)} snippets of these clips, length of the difference: "
        f"median {median(apart):.4f}, worst {max(apart):.4f} of the features' own."
    ]


def _from_file() -> list[str]:
    videos = sorted((SHARED / "videos" / "gmdcsa24").rglob("*.mp4"))
    if not videos:
        return ["From a file: not measured, no 720p videos beside the project."]
    video = max(videos, key=lambda path: path.stat().st_size)
    lines = [
        f"From `{video.name}` (720p), decoding included, loading the weights not:",
        "",
        "| precision | pictures a second | times real time | peak MB |",
        "|---|---|---|---|",
    ]
    for precision in ("bfloat16", "float32"):
        runs = [_extract(video, precision) for _ in range(3)]
        length, took = runs[0][0], median(run[1] for run in runs)
        peak = max(run[2] for run in runs)
        lines.append(f"| {precision} | {25 * length / took:.1f} | {length / took:.1f} | {peak:.0f} |")
    return lines


def _extract(video: Path, precision: str) -> tuple[float, float, float]:
    words = [sys.executable, "-c", EXTRACT, str(video), precision]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{video}: {done.stderr}")
    length, took, peak = map(float, done.stdout.split())
    return length, took, peak
