"""Change valid files of every kind at random and read them.

Each must be read, or refused with one sentence. Prints the failures and a table, and exits with 1 if there are any.
"""

import tempfile
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from tests.fuzz import runner
from tests.fuzz.corpus import kinds, write_corpus
from tests.fuzz.runner import FAILED, READ, REFUSED, Outcome, run
from tests.helpers.own_videos import make_own_videos
from wtal.core.errors import ConfigError
from wtal.core.text import markdown_table

HEADER = ("files", "inputs", "read", "refused", "failed", "longest, s", "peak, MB")


def main(
    count: Annotated[int, typer.Argument(min=1, metavar="N", help="Number of inputs")] = 1000,
    seed: Annotated[int, typer.Option(help="Selects the changes")] = 0,
    only: Annotated[str, typer.Option(metavar="PART", help="Kinds of files whose name contains this")] = "",
    workers: Annotated[int, typer.Option(min=1, help="Number of processes")] = 2,
    max_seconds: Annotated[
        float, typer.Option(min=0.1, help="Longest time to read a file; more on a busy machine")
    ] = runner.MAX_SECONDS,
) -> None:
    """Run the fuzzer."""
    runner.MAX_SECONDS = max_seconds
    with tempfile.TemporaryDirectory() as folder:
        root, own_videos = Path(folder) / "corpus", Path(folder) / "own videos"
        for path in (root, own_videos):
            path.mkdir()
        write_corpus(root, make_own_videos(own_videos))
        names = list(kinds(root, own_videos))
        numbers: Iterable[int] = range(count)
        if only:
            if not any(only in name for name in names):
                raise ConfigError(f"no kind of file contains {only!r}", hint=f"use a part of {', '.join(names)}")
            numbers = [n for n in range(count * len(names)) if only in names[n % len(names)]][:count]
        outcomes = []
        for outcome in run(root, own_videos, numbers, seed, workers):
            outcomes.append(outcome)
            if outcome.result == FAILED:
                print(f"\n{outcome.kind}, input {outcome.number}: {outcome.detail}", flush=True)
    print("\n".join(table(outcomes)))
    raise typer.Exit(int(any(outcome.result == FAILED for outcome in outcomes)))


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """The outcomes of each group of kinds as a Markdown table."""
    rows = [_row(name, list(group)) for name, group in groupby(sorted(outcomes, key=_group), key=_group)]
    rows.append(_row("all", outcomes))
    return list(markdown_table(HEADER, rows))


def _group(outcome: Outcome) -> str:
    return outcome.kind.partition(",")[0]


def _row(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    counts = [sum(outcome.result == result for outcome in outcomes) for result in (READ, REFUSED, FAILED)]
    longest = max(outcome.seconds for outcome in outcomes)
    peak = max(outcome.peak_bytes for outcome in outcomes)
    return [name, *(f"{count:,}" for count in (len(outcomes), *counts)), f"{longest:.1f}", f"{peak / 1e6:.0f}"]
