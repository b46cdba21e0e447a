"""The full-size shape: real THUMOS14 annotations, made-up 2 x 1024 features, the whole road in bounded memory."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import SHARED, command

# A process of its own: building the bundle's object array holds all of it, which is not the road's doing.
MAKE = """
import sys, numpy as np
from pathlib import Path
from wtal.formats.wtalc import read_wtalc
bundle, out = map(Path, sys.argv[1:])
rng = np.random.default_rng(0)
lengths = [max(2, int(v.duration * 25 / 16)) for v in read_wtalc(bundle)]
arrays = np.empty(len(lengths), dtype=object)
for i, length in enumerate(lengths):
    arrays[i] = rng.standard_normal((length, 2048), dtype=np.float32)
np.save(out, arrays)
print(sum(lengths))
"""


def rows() -> list[str]:
    """Lines of Markdown; says so where the shared data are absent."""
    source = SHARED / "thumos14" / "Thumos14reduced-Annotations"
    if not source.is_dir():
        return ["not measured: the THUMOS14 annotations are not beside the project"]
    place = Path(tempfile.mkdtemp())
    try:
        bundle = place / "Thumos14reduced-Annotations"
        shutil.copytree(source, bundle)
        joint = place / "Thumos14reduced-I3D-JOINTFeatures.npy"
        made = subprocess.run(
            [sys.executable, "-c", MAKE, str(bundle), str(joint)], capture_output=True, text=True, check=True
        )
        return [f"412 videos, {int(made.stdout):,} snippets.", "", *_road(bundle, place)]
    finally:
        shutil.rmtree(place)


def _road(bundle: Path, place: Path) -> list[str]:
    data, run = str(place / "data"), str(place / "run")
    short = ("--set", "train.steps=50", "--set", "train.batch_size=10", "--set", "train.snippets=320")
    steps = {
        "convert": ("convert", str(bundle), data),
        "train, 50 steps at batch 10, T 320": ("train", data, "--out", run, *short),
        "localize, 212 videos": ("localize", run, data),
        "evaluate": ("evaluate", f"{run}/proposals.json", data, "--protocol", "thumos14-212"),
    }
    lines = ["| step | s | peak MB |", "|---|---|---|"]
    for name, words in steps.items():
        took, peak = command(*words)
        lines.append(f"| {name} | {took:.1f} | {peak:.0f} |")
    return lines
