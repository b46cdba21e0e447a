"""Fair comparison as tables: files side by side under several protocols, and ours beside published results."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wtal.protocols import PROTOCOLS, Protocol
from wtal.published import Published, published
from wtal.report import markdown
from wtal.report.markdown import plain
from wtal.report.say import printable, say
from wtal.report.tables import counted
from wtal.result import Result
from wtal.significance import DRAWS, Entry, Interval, SideBySide

COUNTED = ("videos", "instances", "classes")
GAP = 2  # what stands between two columns
WIDEST_NAME = 40  # of a file; longer ones are folded


def render(found: SideBySide, console: Console) -> None:
    """The scores, how sure they are, how the protocols differ, and what to know before comparing."""
    say(console, f"average mAP (%) over tIoU, checkpoint: {found.entries[0].result.checkpoint}")
    for table in _score_tables(found, console.width):
        console.print(table)
    say(console, f"95 % intervals by paired bootstrap over the videos, {DRAWS:,} draws")
    console.print(_interval_table(found))
    say(console, "how the protocols differ")
    for table in protocol_tables([PROTOCOLS[name] for name in _protocols(found)], console.width):
        console.print(table)
    for line in notes([(entry.file, entry.result) for entry in found.entries]):
        say(console, line)
    if found.not_fitting:
        say(console, f"left out, as they mean other ground truth than this: {', '.join(found.not_fitting)}")


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
    promised = {what: f"{rules.promise[what]:,}" if what in rules.promise else "all" for what in COUNTED}
    return {
        "unit": "seconds" if rules.snippet_rate is None else "snippets",
        **promised,
        "left out": f"{len(rules.without)} videos" if rules.without else "nothing",
        "a proposal takes": "best free action" if rules.best_first else "first in file",
        "precision": "envelope" if rules.interpolated else "at each hit",
        "ambiguous list": "removed" if rules.ambiguous else "not used",
        "rounded": "truth, proposals" if rules.truncated else "truth" if rules.snippet_rate else "nothing",
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
    return list(markdown.table([*header, "source"], cells))


def _bold(cell: str) -> str:
    return f"**{plain(cell)}**" if cell else ""


def _published_rows(
    benchmark: str, ours: Sequence[Published]
) -> tuple[list[str], list[tuple[Published, list[str]]]]:
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


def _score_tables(found: SideBySide, width: int) -> Iterator[Table]:
    """A row a file, a column a protocol with its averages; as many side by side as the terminal is wide."""
    files = list(dict.fromkeys(entry.file for entry in found.entries))
    cells = {(entry.result.protocol, entry.file): entry for entry in found.entries}
    heads = {name: _head(cells[name, files[0]]) for name in _protocols(found)}
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


def _head(entry: Entry) -> tuple[str, str]:
    return entry.result.protocol, " ".join(_spans(entry))


def _averages(entry: Entry) -> str:
    result = entry.result
    spans = zip(_spans(entry), result.averages, strict=True)
    return " ".join(_percent(result.average(*span)).rjust(len(shown)) for shown, span in spans)


def _spans(entry: Entry) -> list[str]:
    """The tIoUs of each average without the 0 that all share: .1-.7."""
    return [f"{low:g}-{high:g}".replace("0.", ".") for low, high in entry.result.averages]


def _interval_table(found: SideBySide) -> Table:
    table = _table("protocol", "tIoU", "file", "mAP", "95 % interval")
    for column in table.columns[3:]:
        column.justify, column.no_wrap = "right", True
    for name in _protocols(found):
        entries = [entry for entry in found.entries if entry.result.protocol == name]
        rows = [(entry.file, _percent(entry.average.value), _span(entry.average)) for entry in entries]
        rows += [
            (f"{lead.file} - {lead.other}", _percent(lead.difference.value, "+"), _span(lead.difference, "+"))
            for lead in found.leads
            if lead.protocol == name
        ]
        spoken = [(name, _spans(entries[0])[-1]), *[("", "")] * (len(rows) - 1)]
        for first, row in zip(spoken, rows, strict=True):
            table.add_row(*_texts(*first, *row))
        table.add_section()
    return table


def notes(told: Sequence[tuple[str, Result]]) -> list[str]:
    """What results say of themselves, each line once, with its protocols and, unless it is all, its files."""
    files = list(dict.fromkeys(file for file, _ in told))
    protocols = list(dict.fromkeys(result.protocol for _, result in told))
    said: dict[tuple[str, str], list[str]] = {}  # line, protocol -> files
    for file, result in told:
        for line in counted(result):
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


def _protocols(found: SideBySide) -> list[str]:
    return list(dict.fromkeys(entry.result.protocol for entry in found.entries))


def _span(interval: Interval, sign: str = "") -> str:
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
