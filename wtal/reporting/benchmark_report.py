"""The results of a benchmark run: tables for the terminal, and a report in Markdown."""

from collections.abc import Iterator
from dataclasses import replace

from wtal import __version__
from wtal.core.config import non_default_settings
from wtal.core.methods import find_method, method_title, supervision_of
from wtal.core.text import escape_markdown, format_count
from wtal.evaluation.bootstrap import DRAWS
from wtal.experiments.benchmarks.run import BenchmarkOutcome
from wtal.experiments.benchmarks.survey import Survey
from wtal.experiments.statistics import differences_of, score_of
from wtal.reporting.comparison_tables import describe_seeds, supervision_note
from wtal.reporting.evaluation_tables import class_table, map_table, merge_notes
from wtal.reporting.tables import Block, TableData, format_interval, format_mean_std, to_markdown

PUBLISHED_RESULTS = "https://github.com/wtal-project/wtal/blob/main/docs/published.md"
SYNTHETIC_TITLE = "SYNTHETIC FEATURES"
SYNTHETIC_WARNING = f"{SYNTHETIC_TITLE}: the numbers below say nothing about the quality of a method."


def survey_blocks(survey: Survey) -> Iterator[Block]:
    """The contents of the data and the differences from the published data set."""
    yield _describe_data(survey)
    yield _mark_synthetic(_survey_table(survey), survey)
    for note in [SYNTHETIC_WARNING] * survey.is_synthetic + list(survey.notes):
        yield f"note: {note}"


def outcome_blocks(outcome: BenchmarkOutcome) -> Iterator[Block]:
    """The average mAP of each method under each protocol, the notes, and the differences."""
    title = f"{outcome.benchmark.title}: average mAP (%), {describe_seeds(outcome.seeds)}, last checkpoint"
    yield ""
    yield _mark_synthetic(replace(_average_table(outcome), title=title), outcome.survey)
    yield from _notes(outcome)
    if len(outcome.results) > 1:
        title = f"differences in average mAP ({outcome.benchmark.protocols[0]}), 95 % bootstrap intervals"
        yield ""
        yield _mark_synthetic(replace(_difference_table(outcome), title=title), outcome.survey)


def benchmark_markdown(outcome: BenchmarkOutcome, command: str) -> str:
    """The report in Markdown."""
    blocks = [*_summary(outcome, command), *_data(outcome.survey), *_results(outcome), *_end(outcome)]
    lines: list[str] = []
    for block in blocks:
        lines += [block] if isinstance(block, str) else to_markdown(_mark_synthetic(block, outcome.survey))
    return "\n".join(lines) + "\n"


def _mark_synthetic(table: TableData, survey: Survey) -> TableData:
    """The table; its title says so if the features are synthetic, because a table may be copied alone."""
    if not survey.is_synthetic:
        return table
    return replace(table, title=f"{SYNTHETIC_TITLE}; {table.title}" if table.title else SYNTHETIC_TITLE)


def _summary(outcome: BenchmarkOutcome, command: str) -> Iterator[TableData | str]:
    yield from (f"# {outcome.benchmark.title}", "")
    if outcome.survey.is_synthetic:
        yield from (f"**{SYNTHETIC_WARNING}**", "")
    yield (
        f"Created by wtal {__version__} with `{command}`. {_describe_supervision(outcome)} "
        f"Average mAP in percent, last checkpoint of each run, {describe_seeds(outcome.seeds)}."
    )
    yield from ("", _average_table(outcome), "")


def _data(survey: Survey) -> Iterator[TableData | str]:
    yield from ("## Data", "", f"{_describe_data(survey)}. Evaluated on the {survey.scored} subset.")
    yield from ("", _survey_table(survey), "")
    yield from (*(f"- {escape_markdown(note)}" for note in survey.notes), "")


def _results(outcome: BenchmarkOutcome) -> Iterator[TableData | str]:
    yield from ("## Results", "")
    for protocol in outcome.benchmark.protocols:
        results = {_title(outcome, method): by_protocol[protocol] for method, by_protocol in outcome.results.items()}
        yield from (f"### {protocol}", "", map_table(results, bold=_main_row(outcome)), "")
    yield from (*(f"- {escape_markdown(line)}" for line in _notes(outcome)), "")
    protocol, method = outcome.benchmark.protocols[0], _main_method(outcome)
    if len(outcome.results) > 1:
        yield from ("## Differences between methods", "")
        yield (
            f"Average mAP under {protocol}, with 95 % bootstrap intervals: over the seeds, for the mean of the paired "
            f"differences; over resampled videos ({DRAWS:,} draws), for the first seed."
        )
        yield from ("", _difference_table(outcome), "")
    yield from ("## Classes", "", f"{method}, {protocol}.", "")
    yield from (class_table(outcome.results[method][protocol]), "")


def _end(outcome: BenchmarkOutcome) -> Iterator[str]:
    changed = [f"`{key} = {value}`" for key, value in non_default_settings(outcome.config).items()]
    yield from ("## Settings", "", f"Seeds 0 to {outcome.seeds - 1}. Settings that differ from the defaults:")
    yield f"{', '.join(changed) or 'none'}."
    yield from ("", f"Published results, with their protocols and checkpoints: {PUBLISHED_RESULTS}")


def _survey_table(survey: Survey) -> TableData:
    rows = [
        (
            part.subset,
            f"{part.videos:,}",
            f"{part.expected:,}" if part.expected is not None else "",
            f"{part.features:,}",
            f"{part.snippets:,}",
            f"{part.instances:,}" if part.instances else "",
        )
        for part in survey.parts
    ]
    return TableData(("subset", "videos", "expected", "with features", "snippets", "instances"), tuple(rows))


def _average_table(outcome: BenchmarkOutcome) -> TableData:
    """A row for each method, a column for each protocol."""
    protocols = outcome.benchmark.protocols
    rows = [
        (
            _title(outcome, method),
            *(format_mean_std([100 * result.average() for result in results[protocol]]) for protocol in protocols),
        )
        for method, results in outcome.results.items()
    ]
    first = next(iter(outcome.results.values()))
    headings = [f"{protocol}\n{first[protocol][0].tiou_range}" for protocol in protocols]
    return TableData(("method", *headings), tuple(rows), bold=_main_row(outcome))


def _difference_table(outcome: BenchmarkOutcome) -> TableData:
    protocol = outcome.benchmark.protocols[0]
    scores = [score_of(outcome.benchmark.name, name, results[protocol]) for name, results in outcome.results.items()]
    first_seed = {(pair.file, pair.other): pair.difference for pair in outcome.first_seeds.differences}
    rows = []
    for d in differences_of(scores):
        videos = first_seed[d.method, d.other]
        over_seeds = f"[{d.low:+.1f}, {d.high:+.1f}]" if outcome.seeds > 1 else ""
        over_videos = format_interval(videos.low, videos.high, sign=True)
        rows.append(
            (
                f"{_title(outcome, d.method)} - {_title(outcome, d.other)}",
                f"{d.mean:+.1f}",
                over_seeds,
                f"{100 * videos.value:+.1f}",
                over_videos,
            )
        )
    return TableData(("methods", "difference", "over seeds", "first seed", "over videos"), tuple(rows))


def _notes(outcome: BenchmarkOutcome) -> list[str]:
    """The evaluation notes of the first method's first seed, under all protocols."""
    first = next(iter(outcome.results.values()))
    return merge_notes([("", results[0]) for results in first.values()])


def _main_method(outcome: BenchmarkOutcome) -> str:
    """The method that is shown in detail: `dfe`, or the last one that uses the local branch for inference."""
    is_local = {name: find_method(name).branch == "local" for name in outcome.results}
    names = [name for name in outcome.results if is_local[name]] or list(outcome.results)
    return "dfe" if "dfe" in names else names[-1]


def _describe_supervision(outcome: BenchmarkOutcome) -> str:
    supervision = outcome.config.train.supervision
    kinds = {supervision_of(method, supervision) for method in outcome.results}
    if kinds == {"tags"}:
        return "Weakly supervised: trained on video-level labels only."
    return f"{supervision_note(outcome.results, supervision).capitalize()}."


def _title(outcome: BenchmarkOutcome, method: str) -> str:
    return method_title(method, outcome.config.train.supervision)


def _main_row(outcome: BenchmarkOutcome) -> tuple[int]:
    return (list(outcome.results).index(_main_method(outcome)),)


def _describe_data(survey: Survey) -> str:
    classes, widths = format_count(len(survey.classes), "class", "classes"), " + ".join(map(str, survey.widths))
    return f"{survey.layout}: {classes}, {widths} feature dimensions, one snippet every {survey.snippet_seconds:g} s"
