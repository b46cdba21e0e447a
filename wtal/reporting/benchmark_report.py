"""A benchmark's outcome: tables on the terminal, and one page of Markdown that says it all.

FROM: Fair comparison as tables: files side by side under several protocols, and ours beside published results.
"""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wtal import __version__
from wtal.core import text
from wtal.core.config import non_default_settings
from wtal.core.text import plain, print_line, printable
from wtal.evaluation.bootstrap import DRAWS, EvaluatedFile, EvaluationComparison, Interval
from wtal.evaluation.protocols import PROTOCOLS, Protocol
from wtal.evaluation.results import EvaluationResult, summary_lines
from wtal.experiments.benchmarks.inspect import Survey
from wtal.experiments.benchmarks.run import Outcome
from wtal.experiments.published import BENCHMARKS as PUBLISHED
from wtal.experiments.published import Published, ours, published
from wtal.experiments.statistics import differences_of, score_of
from wtal.reporting.tables import TableData, markdown, mean_and_spread, terminal

COUNTED = ("videos", "instances", "classes")
GAP = 2  # what stands between two columns
WIDEST_NAME = 40  # of a file; longer ones are folded


def render_evaluations(found: EvaluationComparison, console: Console) -> None:
    """The scores, how sure they are, how the protocols differ, and what to know before comparing."""
    print_line(console, f"average mAP (%) over tIoU, checkpoint: {found.entries[0].result.checkpoint}")
    for table in _score_tables(found, console.width):
        console.print(table)
    print_line(console, f"95 % intervals by paired bootstrap over the videos, {DRAWS:,} draws")
    console.print(_interval_table(found))
    print_line(console, "how the protocols differ")
    for table in protocol_tables([PROTOCOLS[name] for name in _protocols(found)], console.width):
        console.print(table)
    for line in notes([(entry.file, entry.result) for entry in found.entries]):
        print_line(console, line)
    if found.not_fitting:
        print_line(console, f"left out, as they mean other ground truth than this: {', '.join(found.not_fitting)}")


def protocol_tables(protocols: Sequence[Protocol], width: int) -> Iterator[Table]:
    """A column a protocol, a row for each fact in which they differ; as many side by side as fit."""
    facts = {rules.name: _facts(rules) for rules in protocols}
    first, *others = facts.values()
    labels = [label for label in first if not others or any(told[label] != first[label] for told in others)]
    widths = {name: max(map(len, [name, *told.values()])) for name, told in facts.items()}
    for names in _dealt(widths, width - max(map(len, labels))):
        table = _table("protocol", *names)
        for label in labels:
            table.add_row(label, *(facts[name][label] for name in names))
        yield table


def _facts(rules: Protocol) -> dict[str, str]:
    promised = {
        what: f"{rules.expected_counts[what]:,}" if what in rules.expected_counts else "all" for what in COUNTED
    }
    return {
        "unit": "seconds" if rules.snippet_rate is None else "snippets",
        **promised,
        "left out": f"{len(rules.excluded_videos)} videos" if rules.excluded_videos else "nothing",
        "a proposal takes": "best free action" if rules.prefers_best else "first in file",
        "precision": "envelope" if rules.interpolated else "at each hit",
        "ambiguous list": "removed" if rules.removes_ambiguous else "not used",
        "rounded": "truth, proposals" if rules.truncates_proposals else "truth" if rules.snippet_rate else "nothing",
    }


def published_table(benchmark: str, ours: Sequence[Published] = ()) -> Table:
    """Results from the literature with their protocol and checkpoint beside each figure; ours in bold."""
    header, rows = _published_rows(benchmark, ours)
    table = _table(*header)
    for column in table.columns[1:]:
        column.no_wrap = True
    for column in table.columns[2:-3]:
        column.justify = "right"
    for entry, cells in rows:
        table.add_row(*_texts(*cells), style="bold" if entry in ours else None)
    return table


def published_markdown(benchmark: str, ours: Sequence[Published] = ()) -> list[str]:
    """The same as lines of a Markdown table, with the source of each."""
    header, rows = _published_rows(benchmark, ours)
    cells = [
        [*(_bold(cell) if entry in ours else plain(cell) for cell in told), _source(entry)] for entry, told in rows
    ]
    return list(text.table([*header, "source"], cells))


def _bold(cell: str) -> str:
    return f"**{plain(cell)}**" if cell else ""


def _published_rows(benchmark: str, ours: Sequence[Published]) -> tuple[list[str], list[tuple[Published, list[str]]]]:
    """The header, and the cells: weakly supervised ones by year, ours, then fully supervised ones for scale."""
    there = published(benchmark)
    weak, full = ([entry for entry in there if entry.supervision == kind] for kind in ("weak", "full"))
    spans = sorted({span for entry in there or ours for span in entry.averages}, key=_bounds)
    header = ["method", "year", *spans, "protocol", "checkpoint", "seeds"]
    return header, [(entry, _published_cells(entry, spans)) for entry in [*weak, *ours, *full]]


def _published_cells(entry: Published, spans: Sequence[str]) -> list[str]:
    figures = {span: f"{value:.1f}" for span, value in entry.averages.items()}
    if entry.spread is not None:
        figures[list(figures)[-1]] += f" ± {entry.spread:.1f}"
    return [
        f"{entry.method} (fully supervised)" if entry.supervision == "full" else entry.method,
        str(entry.year or ""),
        *(figures.get(span, "") for span in spans),
        entry.protocol,
        entry.checkpoint,
        str(entry.seeds or ""),
    ]


def _source(entry: Published) -> str:
    source = f"[source]({entry.source})" if entry.source.startswith("https://") else entry.source
    return f"{entry.venue}, {source}" if entry.venue else source


def _bounds(span: str) -> tuple[float, ...]:
    return tuple(map(float, span.split(":")))


def _score_tables(found: EvaluationComparison, width: int) -> Iterator[Table]:
    """A row a file, a column a protocol with its averages; as many side by side as the terminal is wide."""
    files = list(dict.fromkeys(entry.file for entry in found.entries))
    cells = {(entry.result.protocol, entry.file): entry for entry in found.entries}
    heads = {name: _entry_head(cells[name, files[0]]) for name in _protocols(found)}
    room = width - min(WIDEST_NAME, max(map(len, files)))
    for names in _dealt({name: max(map(len, head)) for name, head in heads.items()}, room):
        table = _table("file", *("\n".join(heads[name]) for name in names))
        for file in files:
            table.add_row(*_texts(file, *(_averages(cells[name, file]) for name in names)))
        table.columns[0].max_width = WIDEST_NAME
        for column in table.columns[1:]:
            column.no_wrap = True
        yield table


def _dealt(widths: dict[str, int], room: int) -> list[list[str]]:
    """The columns, dealt into rows of as many as fit; at least one a row."""
    rows: list[list[str]] = [[]]
    for name in widths:
        if rows[-1] and sum(widths[other] + GAP for other in [*rows[-1], name]) > room - GAP:
            rows.append([])
        rows[-1].append(name)
    return rows


def _entry_head(entry: EvaluatedFile) -> tuple[str, str]:
    return entry.result.protocol, " ".join(_spans(entry))


def _averages(entry: EvaluatedFile) -> str:
    result = entry.result
    spans = zip(_spans(entry), result.averages, strict=True)
    return " ".join(_percent(result.average(*span)).rjust(len(shown)) for shown, span in spans)


def _spans(entry: EvaluatedFile) -> list[str]:
    """The tIoUs of each average without the 0 that all share: .1-.7."""
    return [f"{low:g}-{high:g}".replace("0.", ".") for low, high in entry.result.averages]


def _interval_table(found: EvaluationComparison) -> Table:
    table = _table("protocol", "tIoU", "file", "mAP", "95 % interval")
    for column in table.columns[3:]:
        column.justify, column.no_wrap = "right", True
    for name in _protocols(found):
        entries = [entry for entry in found.entries if entry.result.protocol == name]
        rows = [(entry.file, _percent(entry.average.value), _interval_text(entry.average)) for entry in entries]
        rows += [
            (
                f"{lead.file} - {lead.other}",
                _percent(lead.difference.value, "+"),
                _interval_text(lead.difference, "+"),
            )
            for lead in found.differences
            if lead.protocol == name
        ]
        spoken = [(name, _spans(entries[0])[-1]), *[("", "")] * (len(rows) - 1)]
        for first, row in zip(spoken, rows, strict=True):
            table.add_row(*_texts(*first, *row))
        table.add_section()
    return table


def notes(told: Sequence[tuple[str, EvaluationResult]]) -> list[str]:
    """What results say of themselves, each line once, with its protocols and, unless it is all, its files."""
    files = list(dict.fromkeys(file for file, _ in told))
    protocols = list(dict.fromkeys(result.protocol for _, result in told))
    said: dict[tuple[str, str], list[str]] = {}  # line, protocol -> files
    for file, result in told:
        for line in summary_lines(result):
            said.setdefault((line.removeprefix(f"{result.protocol} "), result.protocol), []).append(file)
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}  # line, files -> protocols
    for (line, protocol), of in said.items():
        alike.setdefault((line, tuple(of)), []).append(protocol)
    return [
        _note(
            line,
            "all protocols" if names == protocols and names[1:] else ", ".join(names),
            [] if list(of) == files else of,
        )
        for (line, of), names in alike.items()
    ]


def _note(line: str, protocols: str, files: Sequence[str]) -> str:
    where = f" ({', '.join(files)})" if files else ""
    return f"{line}{where}" if protocols in line else f"{protocols}{where}: {line}"


def _protocols(found: EvaluationComparison) -> list[str]:
    return list(dict.fromkeys(entry.result.protocol for entry in found.entries))


def _interval_text(interval: Interval, sign: str = "") -> str:
    return f"[{_percent(interval.low, sign)}, {_percent(interval.high, sign)}]"


def _percent(value: float, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}"


def _texts(*cells: str) -> Iterator[Text]:
    return (Text(printable(cell)) for cell in cells)


def _table(*header: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in header:
        table.add_column(Text(name), overflow="fold")
    return table


MADE_UP = "MADE-UP FEATURES, a rehearsal: no number here says anything of a method."
SHOWN_AT = 0.5  # the tIoU at which a class's average precision is shown


def render_survey(survey: Survey, console: Console) -> None:
    """What is there, and what is odd about it."""
    print_line(console, f"{survey.layout}: {len(survey.classes)} classes, {_widths(survey)}")
    console.print(terminal(_survey_sheet(survey)))
    for note in [MADE_UP] * survey.made_up + list(survey.notes):
        print_line(console, f"note: {note}")


def render_outcome(outcome: Outcome, console: Console) -> None:
    """A row a method, a column group a protocol; then what was counted."""
    print_line(console, f"\n{outcome.benchmark.title}: average mAP (%), {_over(outcome)}, last checkpoint")
    console.print(terminal(_average_sheet(outcome)))
    for line in _notes(outcome):
        print_line(console, line)
    if len(outcome.results) > 1:
        print_line(console, f"\n{outcome.benchmark.protocols[0]}, average mAP: differences, 95 % bootstrap intervals")
        console.print(terminal(_difference_sheet(outcome)))


def benchmark_markdown(outcome: Outcome, command: str) -> str:
    """The whole report as Markdown."""
    return "\n".join([*_page_head(outcome, command), *_data(outcome.survey), *_results(outcome), *_end(outcome)]) + "\n"


def _page_head(outcome: Outcome, command: str) -> Iterator[str]:
    benchmark = outcome.benchmark
    yield from (f"# {benchmark.title}", "")
    if outcome.survey.made_up:
        yield from (f"**{MADE_UP}**", "")
    yield (
        f"Made by wtal {__version__} with `{command}`: weakly supervised, from video-level labels alone; "
        f"the last checkpoint of each run; {_over(outcome)}. Average mAP in percent."
    )
    yield from ("", *markdown(_average_sheet(outcome)), "")


def _data(survey: Survey) -> Iterator[str]:
    yield from ("## Data", "")
    yield f"{survey.layout}: {len(survey.classes)} classes, {_widths(survey)}, scored on {survey.scored}."
    yield from ("", *markdown(_survey_sheet(survey)), "")
    yield from (f"- {plain(note)}" for note in survey.notes)
    yield ""


def _results(outcome: Outcome) -> Iterator[str]:
    yield from ("## Results", "")
    for protocol in outcome.benchmark.protocols:
        yield from (f"### {protocol}", "", *markdown(_protocol_sheet(outcome, protocol)), "")
    yield from (f"- {plain(line)}" for line in _notes(outcome))
    yield ""
    if len(outcome.results) > 1:
        yield from ("## Methods against each other", "")
        yield (
            f"{outcome.benchmark.protocols[0]}, average mAP, with 95 % bootstrap intervals: the mean of the paired "
            f"differences over the seeds, and the first seed's over resampled videos ({DRAWS:,} draws)."
        )
        yield from ("", *markdown(_difference_sheet(outcome)), "")
    yield from ("## Classes", "")
    yield f"{_ours(outcome)}, {outcome.benchmark.protocols[0]}; average precision (%)."
    yield from ("", *markdown(_class_sheet(outcome)), "")


def _end(outcome: Outcome) -> Iterator[str]:
    name, best = outcome.benchmark.name, _ours(outcome)
    if name in PUBLISHED and not outcome.survey.made_up:
        mine = [ours(f"wtal, {best}", name, results) for results in outcome.results[best].values()]
        yield from ("## Beside published results", "", *published_markdown(name, mine), "")
    differ = [f"`{name} = {value}`" for name, value in non_default_settings(outcome.config).items()]
    yield from ("## Settings", "", f"Seeds 0 to {outcome.seeds - 1}. What differs from the package's defaults: ")
    yield f"{', '.join(differ) or 'nothing'}."


def _survey_sheet(survey: Survey) -> TableData:
    rows = [
        (
            part.subset,
            f"{part.videos:,}",
            f"{part.promised:,}" if part.promised is not None else "",
            f"{part.features:,}",
            f"{part.snippets:,}",
            f"{part.instances:,}" if part.instances else "",
        )
        for part in survey.parts
    ]
    return TableData(("subset", "videos", "promised", "with features", "snippets", "instances"), tuple(rows))


def _average_sheet(outcome: Outcome) -> TableData:
    protocols = outcome.benchmark.protocols
    rows = [
        (method, *(mean_and_spread([_average(r) for r in results[protocol]]) for protocol in protocols))
        for method, results in outcome.results.items()
    ]
    first = next(iter(outcome.results.values()))
    heads = [f"{protocol}\n{_tiou_span(first[protocol][0])}" for protocol in protocols]
    return TableData(("method", *heads), tuple(rows), bold=_best_rows(outcome))


def _protocol_sheet(outcome: Outcome, protocol: str) -> TableData:
    first = next(iter(outcome.results.values()))[protocol][0]
    heads = [f"{tiou:g}" for tiou in first.tious] + [f"{low:g}:{high:g}" for low, high in first.averages]
    rows = []
    for method, by_protocol in outcome.results.items():
        results = by_protocol[protocol]
        maps = [mean_and_spread([100 * r.map[place] for r in results]) for place in range(len(first.tious))]
        averages = [mean_and_spread([100 * r.average(*span) for r in results]) for span in first.averages]
        rows.append((method, *maps, *averages))
    return TableData(("method", *heads), tuple(rows), bold=_best_rows(outcome))


def _class_sheet(outcome: Outcome) -> TableData:
    results = outcome.results[_ours(outcome)][outcome.benchmark.protocols[0]]
    first = results[0]
    place = min(range(len(first.tious)), key=lambda i: abs(first.tious[i] - SHOWN_AT))
    rows = []
    for label, count in first.instances_per_class.items():
        at = [100 * r.per_class[label][place] for r in results]
        over = [100 * sum(r.per_class[label]) / len(r.tious) for r in results]
        rows.append((label, f"{count:,}", mean_and_spread(at), mean_and_spread(over)))
    return TableData(("class", "instances", f"tIoU {first.tious[place]:g}", "average"), tuple(rows))


def _difference_sheet(outcome: Outcome) -> TableData:
    main = outcome.benchmark.protocols[0]
    scores = [score_of(outcome.benchmark.name, name, results[main]) for name, results in outcome.results.items()]
    videos = {(lead.file, lead.other): lead.difference for lead in outcome.side_by_side.differences}
    rows = []
    for d in differences_of(scores):
        lead = videos[d.method, d.other]
        seeds = _interval(d.low, d.high) if outcome.seeds > 1 else ""
        rows.append(
            (
                f"{d.method} - {d.other}",
                f"{d.mean:+.1f}",
                seeds,
                f"{100 * lead.value:+.1f}",
                _interval(100 * lead.low, 100 * lead.high),
            )
        )
    return TableData(("methods", "difference", "over the seeds", "first seed", "over its videos"), tuple(rows))


def _interval(low: float, high: float) -> str:
    return f"[{low:+.1f}, {high:+.1f}]"


def _notes(outcome: Outcome) -> list[str]:
    """What the first method's evaluations counted and left out, each thing said once."""
    first = next(iter(outcome.results.values()))
    return notes([("", results[0]) for results in first.values()])


def _average(result: EvaluationResult) -> float:
    """Of all tIoUs, in percent."""
    return 100 * result.average()


def _tiou_span(result: EvaluationResult) -> str:
    return f"{result.tious[0]:g}:{result.tious[-1]:g}"


def _ours(outcome: Outcome) -> str:
    """The method that is shown beside others': `dfe`, or the last one that is scored by its local branch."""
    names = [name for name in outcome.results if name != "dfe-global"] or list(outcome.results)
    return "dfe" if "dfe" in names else names[-1]


def _best_rows(outcome: Outcome) -> tuple[int, ...]:
    return (list(outcome.results).index(_ours(outcome)),)


def _over(outcome: Outcome) -> str:
    return "one seed" if outcome.seeds == 1 else f"mean ± standard deviation over {outcome.seeds} seeds"


def _widths(survey: Survey) -> str:
    return f"features {' + '.join(map(str, survey.widths))} wide, a snippet every {survey.snippet_seconds:g} s"
