"""The full size: annotations of THUMOS14 and ActivityNet, made-up 2 x 1024 features, in bounded memory."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import SHARED, command
from wtal.experiments.benchmarks.definitions import find_benchmark

THUMOS14 = SHARED / "thumos14" / "Thumos14reduced-Annotations"
ACTIVITYNET = SHARED / "anet" / "anet_anno_action.json"
NARROW = ("--width", "64")  # where the number of videos is what matters
LAYOUTS: Mapping[str, tuple[str, ...]] = {
    "wtalc": (),
    "basnet": (),
    "actionformer": ("--stride", "16", "--window", "16", "--fps", "25"),
}


def rows() -> list[str]:
    """Lines of Markdown; says so where the shared data are absent."""
    if not (THUMOS14.is_dir() and ACTIVITYNET.is_file()):
        return ["not measured: the annotations of THUMOS14 and ActivityNet are not beside the project"]
    place = Path(tempfile.mkdtemp())
    try:
        return [*_thumos14(place), "", *_activitynet(place), "", *_layouts(place)]
    finally:
        shutil.rmtree(place)


def _thumos14(place: Path) -> list[str]:
    bundle, data, run = (str(place / name) for name in ("thumos14", "thumos14-data", "thumos14-run"))
    short = ("--set", "train.steps=50", "--set", "train.batch_size=10", "--set", "train.snippets=320")
    return [
        "THUMOS14 as a W-TALC bundle, 2 x 1024 numbers a snippet:",
        "",
        *_steps(
            {
                "rehearse": ("rehearse", str(THUMOS14), bundle, "--layout", "wtalc"),
                "convert": ("convert", bundle, data),
                "train, 50 steps at batch 10, T 320": ("train", data, "--out", run, *short),
                "localize its testing videos": ("localize", run, data),
                "evaluate": ("evaluate", f"{run}/proposals.json", data, "--protocol", "thumos14-212"),
            }
        ),
    ]


def _activitynet(place: Path) -> list[str]:
    data, run, recipe = str(place / "anet"), str(place / "anet-run"), str(find_benchmark("activitynet1.3").config)
    train = ("train", data, "--out", run, "--config", recipe, "--set", "train.steps=1000")
    lines = [
        "ActivityNet 1.3 as a plain folder, 2 x 1024 numbers a snippet:",
        "",
        *_steps(
            {
                "rehearse": ("rehearse", str(ACTIVITYNET), data),
                "train, 1,000 steps": train,
                "localize its validation videos": ("localize", run, data, "--subset", "validation"),
                "evaluate": ("evaluate", f"{run}/proposals.json", data, "--subset", "validation"),
            }
        ),
    ]
    shutil.rmtree(data)
    return lines


def _layouts(place: Path) -> list[str]:
    steps: dict[str, tuple[str, ...]] = {}
    for layout, grid in LAYOUTS.items():
        source, out = str(place / layout), str(place / f"{layout}-data")
        steps[f"rehearse, {layout}"] = ("rehearse", str(ACTIVITYNET), source, "--layout", layout, *NARROW)
        steps[f"convert, {layout}"] = ("convert", source, out, *grid)
    return ["ActivityNet 1.3 through each public layout, 2 x 64 numbers a snippet:", "", *_steps(steps)]


def _steps(steps: Mapping[str, tuple[str, ...]]) -> list[str]:
    lines = ["| step | s | peak MB |", "|---|---|---|"]
    for name, words in steps.items():
        took, peak = command(*words)
        lines.append(f"| {name} | {took:.1f} | {peak:.0f} |")
        print(lines[-1], flush=True)
    return lines
