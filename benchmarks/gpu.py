"""Speed of training and inference on a GPU, and the share of its peak, on random data of THUMOS14's shape.

Takes at most eight minutes.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from wtal.core.config import Config, parse_config
from wtal.core.errors import ConfigError, WtalError
from wtal.core.text import markdown_table
from wtal.data.batching import Batch
from wtal.models.global_branch import Ensemble, feature_parts
from wtal.models.local_branch import build_model
from wtal.models.memory import MemoryWriter, WhiteningEstimator
from wtal.training.criterion import compute_loss
from wtal.video.backbones.base import BackboneOptions
from wtal.video.backbones.registry import open_backbone
from wtal.video.extract_video import extract_features

BATCH_SIZE, SNIPPETS, WIDTHS, CLASSES = 10, 320, (1024, 1024), 20
VIDEO_SNIPPETS = 2000  # of the video whose inference is measured
SECONDS = 10.0  # of each measurement


def measure() -> list[str]:
    """The lines of the section."""
    if not torch.cuda.is_available():
        raise ConfigError("this machine has no GPU that PyTorch can use", code="no-gpu")
    device = torch.device("cuda")
    peak = _peak_flops(device)
    rows = [
        _training_row("a step of stage one", parse_config({"method": "local"}), device, peak),
        _training_row("a step of stage two", parse_config({}), device, peak),
        _inference_row(device, peak),
        _memory_row(),
        _extraction_row(device),
    ]
    return [
        f"{torch.cuda.get_device_name(device)}; a bfloat16 matrix product reaches {peak / 1e12:.0f} TFLOP/s.",
        "",
        f"Batch size {BATCH_SIZE}, T {SNIPPETS}, 2 x 1024 features, {CLASSES} classes, random data. The models of "
        "stage one are trained one after the other; the memory is read on the CPU.",
        "",
        *markdown_table(("what", "per second", "share of peak"), rows),
    ]


def _peak_flops(device: torch.device) -> float:
    matrix = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    return 2 * 8192**3 * _per_second(lambda: matrix @ matrix, 2.0)


def _training_row(name: str, config: Config, device: torch.device, peak: float) -> tuple[str, str, str]:
    torch.manual_seed(0)
    model = build_model(config, WIDTHS, CLASSES).to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    targets = torch.rand(BATCH_SIZE, SNIPPETS, CLASSES + 1, device=device).softmax(-1)
    batch = Batch(
        torch.randn(BATCH_SIZE, SNIPPETS, sum(WIDTHS), device=device),
        torch.ones(BATCH_SIZE, SNIPPETS, dtype=torch.bool, device=device),
        (torch.rand(BATCH_SIZE, CLASSES, device=device) < 0.1).float(),
        targets=targets if config.method_spec.has_two_stages else None,
    )

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss, _ = compute_loss(model(batch.features, batch.mask), batch, config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return _row(name, step, peak)


def _inference_row(device: torch.device, peak: float) -> tuple[str, str, str]:
    network = build_model(parse_config({}), WIDTHS, CLASSES).to(device).eval()
    x = torch.randn(1, VIDEO_SNIPPETS, sum(WIDTHS), device=device)
    mask = torch.ones(1, VIDEO_SNIPPETS, dtype=torch.bool, device=device)
    with torch.inference_mode():
        return _row(f"inference of {VIDEO_SNIPPETS:,} snippets", lambda: network(x, mask), peak)


def _memory_row() -> tuple[str, str, str]:
    config = parse_config({})
    models: list[nn.Module] = [build_model(config, WIDTHS, CLASSES).eval() for _ in range(config.teacher.models)]
    ensemble = Ensemble(models, torch.ones(len(models), CLASSES + 1))
    x, mask = torch.randn(1, VIDEO_SNIPPETS, sum(WIDTHS)), torch.ones(1, VIDEO_SNIPPETS, dtype=torch.bool)
    allowed = torch.ones(CLASSES + 1, dtype=torch.bool)
    with torch.inference_mode():
        parts = feature_parts(ensemble.outputs(x, mask))[0]
        posterior = ensemble(x, mask).cas[0].exp()
        estimator = WhiteningEstimator()
        estimator.add(parts)
        writer = MemoryWriter(
            estimator.finish(0.2), CLASSES, video_share=1.0, min_probability=0.0, max_entries=500, seed=0
        )
        for video in range(20):
            writer.write(video, parts, posterior, allowed)
        memory = writer.finish(20, 0.1)
        name = f"reading the memory for {VIDEO_SNIPPETS:,} snippets (CPU)"
        return _row(name, lambda: memory.read(memory.whitening(parts), posterior, allowed), None)


def _extraction_row(device: torch.device) -> tuple[str, str, str]:
    name = "I3D features of a 10 s video"
    try:
        import cv2

        backbone = open_backbone(BackboneOptions("i3d", device=device.type))
    except (ImportError, WtalError):
        return name, "not measured: no weights", ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (320, 240))
        for frame in np.random.default_rng(0).integers(0, 255, (250, 240, 320, 3), dtype=np.uint8):
            writer.write(frame)
        writer.release()
        return _row(name, lambda: extract_features(path, backbone), None)


def _row(name: str, work: Callable[[], object], peak: float | None) -> tuple[str, str, str]:
    rate = _per_second(work, SECONDS)
    if peak is None:
        return name, f"{rate:.2f}", ""
    with FlopCounterMode(display=False) as counter:
        work()
    return name, f"{rate:.1f}", f"{100 * rate * counter.get_total_flops() / peak:.1f} %"


def _per_second(work: Callable[[], object], seconds: float) -> float:
    """Calls per second, after two calls to warm up."""
    for _ in range(2):
        work()
    torch.cuda.synchronize()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        work()
        torch.cuda.synchronize()
        count += 1
    return count / (time.perf_counter() - start)
