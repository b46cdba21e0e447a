"""Measure speed and memory: `python -m benchmarks` runs all measurements and writes benchmarks/RESULTS.md.

`python -m benchmarks NAME ...` runs the named measurements and prints them; `python -m benchmarks --list` lists every
tool of this package.
"""

import sys
from importlib import import_module

from benchmarks.measure import ROOT, machine_lines
from wtal.core.io import write_text

MEASUREMENTS = {  # a module with `measure() -> list[str]`, the lines of its section
    "evaluation": "Evaluation and localization",
    "peers": "Comparison with public code",
    "training": "Training and inference",
    "length": "Scaling with video length",
    "extraction": "I3D feature extraction",
    "threads": "Threads of extraction",
    "videos": "Extraction of many videos",
    "first_hour": "The first hour",
    "full_size": "THUMOS14 and ActivityNet at full size",
    "pages": "HTML report",
    "web": "Web page",
    "palette": "Colors of the classes",
    "connections": "Web server under silent connections",
    "gpu": "GPU",
}
TOOLS = {
    "study": "when the memory helps: controls on subsets of a real data set; draws docs/study.png",
    "probe": "how well the memory ranks the snippets of a class, beside the class scores and a shuffled memory",
    "boundaries": "how exact the boundaries of segments are, before and after they are refined",
    "ablate": "change each default of DFE, one at a time, and score the result",
    "rehearse": "write synthetic features for real annotations, to test a benchmark before its features are there",
    "labels": "how much points and corrected timelines of some training videos help; draws docs/labels.png",
    "models": "rebuild and score the models of docs/models.md",
    "backbones": "how much more accurate I3D is than tiny on real videos",
    "calibration": "F1 of the shown segments by the rule that selects them, after training on tags",
    "smoothing": "score finished runs again with smoothed class scores",
    "normalisation": "whether scale, shift or dead dimensions of the features change the score",
    "fuzz": "read files that were changed at random; `python -m benchmarks fuzz N`",
    "kinetics400": "what the built-in model shows in real clips, and in a video stitched of them",
    "names": "count placeholder names in the source; part of `make check`",
}


def main(names: list[str]) -> None:
    """Run the named measurements and print them; run all of them and write RESULTS.md if none is named."""
    if names == ["--list"]:
        for name, description in (MEASUREMENTS | TOOLS).items():
            print(f"python -m benchmarks.{name:12s} {description}")
        return
    if names[:1] == ["fuzz"]:
        import_module("benchmarks.fuzz").main(names[1:])
        return
    if names in (["--help"], ["-h"]):
        print(__doc__)
        return
    unknown = next((name for name in names if name not in MEASUREMENTS), None)
    if unknown is not None:
        print(f"error: no measurement {unknown!r}; use {', '.join(MEASUREMENTS)} or --list", file=sys.stderr)
        raise SystemExit(2)
    introduction = "Written by `make bench` on a shared machine: compare ratios rather than absolute times."
    lines = ["# Benchmarks", "", introduction, "", *machine_lines()]
    print("\n".join(lines), flush=True)
    for name in names or MEASUREMENTS:
        measure = import_module(f"benchmarks.{name}").measure
        section = ["", f"## {MEASUREMENTS[name]}", "", f"`python -m benchmarks.{name}`", "", *measure()]
        print("\n".join(section), flush=True)
        lines += section
    if not names:
        write_text(ROOT / "benchmarks" / "RESULTS.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
