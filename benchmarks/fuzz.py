"""Change valid files of every kind at random and read them: `python -m benchmarks fuzz N [--seed S] [--only PART]`.

Each must be read, or refused with one sentence; prints a table, the failures, and exits with 1 if there are any.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from tests.fuzz import runner
from tests.fuzz.corpus import kinds, write_corpus
from tests.fuzz.runner import FAILED, READ, REFUSED, Outcome, run
from tests.helpers.own_videos import make_own_videos

HEADER = ("files", "inputs", "read", "refused", "failed", "longest, s", "peak, MB")


def main(arguments: Sequence[str]) -> None:
    """Run the fuzzer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fuzz", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1000, metavar="N", help="number of inputs")
    parser.add_argument("--seed", type=int, default=0, help="selects the changes")
    parser.add_argument("--only", default="", metavar="PART", help="kinds whose name contains this")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--max-seconds", type=float, default=runner.MAX_SECONDS, help="more on a busy machine")
    options = parser.parse_args(arguments)
    runner.MAX_SECONDS = options.max_seconds
    with tempfile.TemporaryDirectory() as folder:
        root, own_videos = Path(folder) / "corpus", Path(folder) / "own videos"
        for path in (root, own_videos):
            path.mkdir()
        write_corpus(root, make_own_videos(own_videos))
        names = list(kinds(root, own_videos))
        numbers: Iterable[int] = range(options.count)
        if options.only:
            numbers = [n for n in range(options.count * len(names)) if options.only in names[n % len(names)]]
            numbers = numbers[: options.count]
        outcomes = []
        for outcome in run(root, own_videos, numbers, options.seed, options.workers):
            outcomes.append(outcome)
            if outcome.result == FAILED:
                print(f"\n{outcome.kind}, input {outcome.number}: {outcome.detail}", flush=True)
    print("\n".join(table(outcomes)))
    raise SystemExit(any(outcome.result == FAILED for outcome in outcomes))


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """The outcomes of each group of kinds as a Markdown table."""
    rows = [_row(name, list(group)) for name, group in groupby(sorted(outcomes, key=_group), key=_group)]
    rows.append(_row("all", outcomes))
    lines = [HEADER, ["---"] * len(HEADER), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _group(outcome: Outcome) -> str:
    return outcome.kind.partition(",")[0]


def _row(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    counts = [sum(outcome.result == result for outcome in outcomes) for result in (READ, REFUSED, FAILED)]
    longest = max(outcome.seconds for outcome in outcomes)
    peak = max(outcome.peak_bytes for outcome in outcomes)
    return [name, *(f"{count:,}" for count in (len(outcomes), *counts)), f"{longest:.1f}", f"{peak / 1e6:.0f}"]


if __name__ == "__main__":
    main(sys.argv[1:])
