"""Time and memory of all steps at the full size of THUMOS14 and ActivityNet 1.3: real annotations with synthetic
features, as a data set folder and through every public data layout."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.measure import SHARED, CommandUsage, run_command
from wtal.core.text import markdown_table
from wtal.experiments.benchmarks.definitions import find_benchmark

THUMOS14 = SHARED / "thumos14" / "Thumos14reduced-Annotations"
ACTIVITYNET = SHARED / "anet" / "anet_anno_action.json"
NARROW = ("--width", "64")  # features per snippet, where the number of videos is what matters
LAYOUTS: Mapping[str, tuple[str, ...]] = {  # layout -> options of `wtal convert`
    "wtalc": (),
    "basnet": (),
    "opentad": ("--stride", "16", "--window", "16", "--fps", "25"),
}


def measure() -> list[str]:
    """The lines of the section."""
    if not (THUMOS14.is_dir() and ACTIVITYNET.is_file()):
        return ["Not measured: the annotations of THUMOS14 and ActivityNet are missing."]
    with tempfile.TemporaryDirectory() as folder:
        thumos14 = _measure_thumos14(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        activitynet = _measure_activitynet(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        return [*thumos14, "", *activitynet, "", *_measure_layouts(Path(folder))]


def _measure_thumos14(folder: Path) -> list[str]:
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
        "rehearse": _rehearse(THUMOS14, bundle, "--layout", "wtalc"),
        "convert": run_command("convert", bundle, data),
        "train local, 50 steps, batch size 10, T 320": run_command("train", data, "--out", run, *short),
        "localize the testing videos": run_command("localize", run, data),
        "evaluate": run_command("evaluate", f"{run}/proposals.json", data, "--protocol", "thumos14-212"),
    }
    return ["THUMOS14 in the W-TALC layout, 2 x 1024 features per snippet:", "", *_usage_table(steps)]


def _measure_activitynet(folder: Path) -> list[str]:
    data, run = str(folder / "data"), str(folder / "run")
    recipe = (
        "--config",
        str(find_benchmark("activitynet1.3").config_path),
        "--method",
        "local",
        "--set",
        "train.steps=1000",
    )
    steps = {
        "rehearse": _rehearse(ACTIVITYNET, data),
        "train local, 1,000 steps": run_command("train", data, "--out", run, *recipe),
        "localize the validation videos": run_command("localize", run, data, "--subset", "validation"),
        "evaluate": run_command("evaluate", f"{run}/proposals.json", data, "--subset", "validation"),
    }
    return ["ActivityNet 1.3 as a data set folder, 2 x 1024 features per snippet:", "", *_usage_table(steps)]


def _measure_layouts(folder: Path) -> list[str]:
    steps = {}
    for layout, timing in LAYOUTS.items():
        source = str(folder / layout)
        steps[f"rehearse, {layout}"] = _rehearse(ACTIVITYNET, source, "--layout", layout, *NARROW)
        steps[f"convert, {layout}"] = run_command("convert", source, str(folder / f"{layout}-data"), *timing)
    return ["ActivityNet 1.3 in each public layout, 2 x 64 features per snippet:", "", *_usage_table(steps)]


def _rehearse(annotations: Path, out: str, *options: str) -> CommandUsage:
    return run_command(str(annotations), out, *options, module="benchmarks.rehearse")


def _usage_table(steps: Mapping[str, CommandUsage]) -> Iterator[str]:
    rows = [(name, f"{usage.seconds:.1f}", f"{usage.peak:.0f}") for name, usage in steps.items()]
    return markdown_table(("step", "s", "peak MB"), rows)


if __name__ == "__main__":
    print("\n".join(measure()))
