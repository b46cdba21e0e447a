"""`python -m benchmarks [TOPIC ...]`: measure, print, and write RESULTS.md when all topics ran."""

import sys

from benchmarks import evaluation, extraction, full_size, length, pages, peers, training, videos
from benchmarks.measure import ROOT, machine
from wtal.core.io import write_text

TOPICS = {
    "evaluation": ("Evaluation and localization", evaluation.rows),
    "peers": ("Beside the field's code", peers.rows),
    "training": ("Training and inference", training.rows),
    "length": ("From a hundred snippets to a million", length.rows),
    "extraction": ("I3D", extraction.rows),
    "videos": ("Extraction at scale", videos.rows),
    "full_size": ("The full size", full_size.rows),
    "pages": ("The report", pages.rows),
}


def main(names: list[str]) -> None:
    """Run the named topics, or all of them."""
    lines = ["# Benchmarks", "", "Written by `make bench`; the machine is shared, so read ratios.", "", *machine()]
    print("\n".join(lines), flush=True)
    for name in names or TOPICS:
        title, rows = TOPICS[name]
        section = ["", f"## {title}", "", f"`python -m benchmarks {name}`", "", *rows()]
        print("\n".join(section), flush=True)
        lines += section
    if not names:
        write_text(ROOT / "benchmarks" / "RESULTS.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
