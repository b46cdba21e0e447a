"""benchmarks/RESULTS.md: each section of a measurement is replaced by itself, all other text is kept.

The tool writes between `<!-- measured: NAME -->` and `<!-- /measured: NAME -->`. Everything outside is written by hand.
"""

import os
import platform
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from benchmarks.measure import ROOT, median_seconds
from wtal.core.errors import ConfigError, DataError, WtalError
from wtal.core.io import write_text
from wtal.core.text import format_count

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
LINE_LENGTH = 140
MEASUREMENTS = {  # a module with `measure() -> list[str]`, the lines of its section, and the title of the section
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


def measure_sections(names: Sequence[str] | None, write: bool) -> None:
    """Run measurements and print their sections; with `write` also replace them in RESULTS.md, each when it is done.

    Args:
        names: The measurements; None for all that this machine can do. The others are named on the standard error.
        write: Whether to write.

    Raises:
        ConfigError: An unknown name.
        DataError: Data are missing, or RESULTS.md is damaged.
    """
    for name in names or ():
        if name not in MEASUREMENTS:
            raise ConfigError(
                f"no measurement {name!r}", hint=f"use {', '.join(MEASUREMENTS)} or all", code="unknown-name"
            )
    for name in MEASUREMENTS if names is None else dict.fromkeys(names):
        measure = import_module(f"benchmarks.{name}").measure
        origin = provenance(name)
        try:
            lines = [*wrap([origin, "", *measure()])]
        except WtalError as error:
            if names is not None:
                raise
            print(f"{name}: not measured: {error}", file=sys.stderr, flush=True)
            continue
        print("\n".join([f"## {MEASUREMENTS[name]}", "", *lines, ""]), flush=True)
        if write:
            write_section(RESULTS, name, lines)


def provenance(name: str) -> str:
    """What a measurement that starts now is measured with: command, time, commit, machine, and its speed at present."""
    import numpy as np
    import torch

    load = os.getloadavg()[0]
    matrix = torch.randn(1024, 1024)
    gflops = 2 * 1024**3 / median_seconds(lambda: matrix @ matrix) / 1e9
    array = np.zeros(1 << 25, dtype=np.float32)
    bandwidth = 2 * array.nbytes / median_seconds(array.copy) / 1e9
    threads = format_count(torch.get_num_threads(), "thread")
    return (
        f"`python -m benchmarks {name}`, {datetime.now(UTC):%Y-%m-%d}, commit {_commit()}; {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__} with "
        f"{threads}; reference before the measurement: matrix product {gflops:.0f} GFLOP/s, copy "
        f"{bandwidth:.1f} GB/s, load average {load:.1f}."
    )


def write_section(path: Path, name: str, lines: Sequence[str]) -> None:
    """Replace the section of a measurement in a file, or add it at the end. All other text is kept.

    Raises:
        DataError: The file has the start of the section without its end.
    """
    start, end = f"<!-- measured: {name} -->", f"<!-- /measured: {name} -->"
    block = "\n".join([start, "", *lines, "", end])
    text = path.read_text(encoding="utf-8")
    text, count = re.subn(f"{re.escape(start)}\n.*?{re.escape(end)}", lambda _: block, text, flags=re.DOTALL)
    if not count:
        if start in text:
            raise DataError("a measured section has no end", path=path, hint=f"add {end}", code="invalid-section")
        text = f"{text.rstrip()}\n\n## {MEASUREMENTS[name]}\n\n{block}\n"
    write_text(path, text)


def wrap(lines: Sequence[str]) -> Iterator[str]:
    """The lines with long ones wrapped, except those of tables."""
    for line in lines:
        if line.startswith("|") or len(line) <= LINE_LENGTH:
            yield line
        else:
            yield from textwrap.wrap(line, LINE_LENGTH, break_long_words=False, break_on_hyphens=False)


def _commit() -> str:
    """The commit of the code, and whether files other than texts and pictures were changed after it."""
    try:
        name = _git("rev-parse", "--short", "HEAD").strip()
        return f"{name} with changes" if _git("diff", "--stat", "HEAD", "--", ":!*.md", ":!*.png") else name
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
