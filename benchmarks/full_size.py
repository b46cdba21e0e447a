"""Time and memory of all steps at the full size of THUMOS14 and ActivityNet 1.3.

Real annotations with synthetic features, as a data set folder and through every public data layout.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.measure import CommandUsage, run_command, shared_path
from wtal.core.text import markdown_table
from wtal.experiments.benchmarks.definitions import find_benchmark

NARROW = ("--width", "64")  # features per snippet, where the number of videos is what matters
LAYOUTS: Mapping[str, tuple[str, ...]] = {  # layout -> options of `wtal convert`
    "wtalc": (),
    "basnet": (),
    "opentad": ("--stride", "16", "--window", "16", "--fps", "25"),
}


def measure() -> list[str]:
    """The lines of the section."""
    thumos14 = shared_path("thumos14", "Thumos14reduced-Annotations")
    activitynet = shared_path("anet", "anet_anno_action.json")
    lines = []
    for measure_part, annotations in (
        (_measure_thumos14, thumos14),
        (_measure_activitynet, activitynet),
        (_measure_layouts, activitynet),
    ):
        with tempfile.TemporaryDirectory() as folder:
            lines += [*measure_part(annotations, Path(folder)), ""]
    return lines[:-1]


def _measure_thumos14(annotations: Path, folder: Path) -> list[str]:
    bundle, data, run = (str(folder / name) for name in ("thumos14", "thumos14-data", "thumos14-run"))
    short = (
        "--method",
        "local",  # a step of stage two costs the same
        "--set",
        "train.steps=50",
        "--set",
        "train.batch_size=10",
        "--set",
        "train.snippets=320",
    )
    steps = {
        "rehearse": _rehearse(annotations, bundle, "--layout", "wtalc"),
        "convert": run_command("convert", bundle, data),
        "train local, 50 steps, batch size 10, T 320": run_command("train", data, "--out", run, *short),
        "localize the testing videos": run_command("localize", run, data),
        "evaluate": run_command("evaluate", f"{run}/proposals.json", data, "--protocol", "thumos14-212"),
    }
    title = "THUMOS14 in the W-TALC layout, 2 x 1024 features per snippet, 412 videos, 136,906 snippets:"
    return [title, "", *_usage_table(steps)]


def _measure_activitynet(annotations: Path, folder: Path) -> list[str]:
    data, run = str(folder / "data"), str(folder / "run")
    recipe = (
        "--config",
        str(find_benchmark("activitynet1.3").config_path),
        "--method",
        "local",
        "--set",
        "train.steps=1000",
    )
    rehearsal = _rehearse(annotations, data)
    steps = {
        "train local, 1,000 steps": run_command("train", data, "--out", run, *recipe),
        "localize the validation videos": run_command("localize", run, data, "--subset", "validation"),
        "evaluate": run_command("evaluate", f"{run}/proposals.json", data, "--subset", "validation"),
    }
    return [
        "ActivityNet 1.3 as a data set folder, 2 x 1024 features per snippet, 19,228 videos, 14 GB:",
        "",
        *_usage_table({"rehearse": rehearsal} | steps),
        "",
        f"Total without the first: {sum(usage.seconds for usage in steps.values()):.0f} s, at most "
        f"{max(usage.peak for usage in steps.values()):.0f} MB.",
    ]


def _measure_layouts(annotations: Path, folder: Path) -> list[str]:
    steps = {}
    for layout, timing in LAYOUTS.items():
        source = str(folder / layout)
        steps[f"rehearse, {layout}"] = _rehearse(annotations, source, "--layout", layout, *NARROW)
        steps[f"convert, {layout}"] = run_command("convert", source, str(folder / f"{layout}-data"), *timing)
    title = (
        "ActivityNet 1.3 in each public layout, 2 x 64 features per snippet (14,377 videos in the two layouts with two "
        "subsets, else 19,228):"
    )
    return [title, "", *_usage_table(steps)]


def _rehearse(annotations: Path, out: str, *options: str) -> CommandUsage:
    return run_command("rehearse", str(annotations), out, *options, module="benchmarks")


def _usage_table(steps: Mapping[str, CommandUsage]) -> Iterator[str]:
    rows = [(name, f"{usage.seconds:.1f}", f"{usage.peak:.0f}") for name, usage in steps.items()]
    return markdown_table(("step", "s", "peak MB"), rows)
