"""Speed and exactness of I3D feature extraction.

Real clips are classified with the published classifier. Measured are frames per second on decoded frames and from a
720p file, and the difference between bfloat16 and float32 features.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.measure import elapsed, process_memory, run_in_process, shared_path, shared_videos
from wtal.core.text import markdown_table
from wtal.video.backbones.base import BackboneOptions
from wtal.video.backbones.i3d import I3D, PIXEL_SCALE
from wtal.video.backbones.i3d_network import class_logits, load_trunk, pool_features
from wtal.video.backbones.i3d_weights import load_weights
from wtal.video.backbones.registry import open_backbone
from wtal.video.extract_video import extract_features
from wtal.video.reader import read_snippets

CLIP_CLASSES = {
    "v_CricketShot_g04_c01_rgb.gif": "playing cricket",
    "v_SoccerJuggling_g23_c01.avi": "juggling soccer ball",
    "v_SoccerJuggling_g24_c01.avi": "juggling soccer ball",
    "R6llTwEh07w.mp4": "using segway",
    "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi": "cartwheeling",
    "basketball.mp4": "dunking basketball",
}
ROUNDS = 5
WINDOW, WINDOW_STEP = 32, 8  # frames that are classified at once; from one window to the next
CHUNK = 64  # frames per call of the reference network, as most public extractors use it


def measure() -> list[str]:
    """The lines of the section."""
    clips = shared_path("videos", "clips")
    videos = shared_videos()
    weights, digest = load_weights(None)
    backbones = {name: I3D(weights, digest, precision=name) for name in ("float32", "bfloat16")}
    return [
        f"Precision chosen by `auto` on this machine: {I3D(weights, digest).precision}.",
        "",
        *_classify_clips(clips, weights),
        "",
        *_measure_speed(weights, backbones),
        "",
        *_measure_difference(clips, backbones),
        "",
        *_measure_file(videos),
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


def _classify_clips(clips: Path, weights: dict[str, torch.Tensor]) -> Iterator[str]:
    labels = (clips / "label_map.txt").read_text().splitlines()
    rows = []
    for name, expected in CLIP_CLASSES.items():
        probabilities = class_probabilities(clips / name, weights)
        rows.append((name[:28], expected, labels[probabilities.argmax()], f"{probabilities.max():.3f}"))
    return markdown_table(("clip", "class", "predicted (float32)", "probability"), rows)


def _measure_speed(weights: dict[str, torch.Tensor], backbones: dict[str, I3D]) -> Iterator[str]:
    """Frames per second on decoded frames. The variants alternate, because the load of the machine varies."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (CHUNK // 16, 16, 224, 224, 3), dtype=np.uint8)
    network = load_trunk(weights)

    def reference(chunks: np.ndarray) -> Callable[[], object]:
        x = torch.from_numpy(chunks).permute(0, 4, 1, 2, 3).float().div(PIXEL_SCALE).sub(1).contiguous()
        return torch.inference_mode()(lambda: pool_features(network(x)))

    def fused(backbone: I3D) -> Callable[[], object]:
        size = backbone.batch_size
        return lambda: [backbone(frames[i : i + size]) for i in range(0, len(frames), size)]

    two_snippets = reference(frames[:2])
    baseline = f"reference, float32, {CHUNK} frames at once"
    variants = {
        baseline: reference(frames.reshape(1, CHUNK, 224, 224, 3)),
        "reference, float32, 2 snippets at once": lambda: [two_snippets(), two_snippets()],
        **{f"wtal, {name}": fused(backbone) for name, backbone in backbones.items()},
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS + 1):
        for name, variant in variants.items():
            seconds[name].append(elapsed(variant))
    seconds = {name: times[1:] for name, times in seconds.items()}  # the first of each warms up
    rows = [
        (
            name,
            f"{CHUNK / median(times):.1f}",
            f"{CHUNK / min(times):.1f}",
            f"{median(seconds[baseline]) / median(times):.1f}",
        )
        for name, times in seconds.items()
    ]
    return markdown_table(("decoded frames, 224 x 224", "frames per second", "best", "speed-up"), rows)


def _measure_difference(clips: Path, backbones: dict[str, I3D]) -> list[str]:
    differences = []
    for name in CLIP_CLASSES:
        for snippet in read_snippets(clips / name, I3D.sampling):
            exact, rounded = (backbones[precision](snippet.frames[None])[0] for precision in ("float32", "bfloat16"))
            differences.append(float(np.linalg.norm(rounded - exact) / np.linalg.norm(exact)))
    return [
        f"Relative difference (L2) between bfloat16 and float32 features, {len(differences)} snippets of these clips: "
        f"median {median(differences):.4f}, largest {max(differences):.4f}."
    ]


def _measure_file(videos: list[Path]) -> list[str]:
    video = max(videos, key=lambda path: path.stat().st_size)
    rows = []
    for precision in ("bfloat16", "float32"):
        runs = [run_in_process(_extract, video, precision) for _ in range(3)]
        length, seconds = runs[0][0], median(run[1] for run in runs)
        peak = max(run[2] for run in runs)
        rows.append((precision, f"{25 * length / seconds:.1f}", f"{length / seconds:.1f}", f"{peak:.0f}"))
    header = ("precision", "frames per second", "times real time", "peak MB")
    return [
        f"From `{video.name}` (720p), with decoding, without loading the weights:",
        "",
        *markdown_table(header, rows),
    ]


def _extract(video: Path, precision: str) -> tuple[float, float, float]:
    """The length of the video in seconds, the seconds that extraction takes, and the peak memory in MB."""
    backbone = open_backbone(BackboneOptions("i3d", device="cpu", precision=precision))
    start = time.perf_counter()
    _, origin = extract_features(video, backbone)
    seconds = time.perf_counter() - start
    return float(origin.edges[-1] - origin.edges[0]), seconds, process_memory("VmHWM")
