"""A benchmark's outcome: tables on the terminal, and one page of Markdown that says it all."""

from collections.abc import Iterator

from rich.console import Console

from wtal import __version__
from wtal.benchmark.run import Outcome
from wtal.benchmark.survey import Survey
from wtal.config import differing
from wtal.published import BENCHMARKS as PUBLISHED
from wtal.published import ours
from wtal.report.fair_table import notes, published_markdown
from wtal.report.markdown import plain
from wtal.report.say import say
from wtal.report.sheet import Sheet, markdown, mean_and_spread, terminal
from wtal.result import Result
from wtal.scores import differences_of, score_of
from wtal.significance import DRAWS

MADE_UP = "MADE-UP FEATURES, a rehearsal: no number here says anything of a method."
SHOWN_AT = 0.5  # the tIoU at which a class's average precision is shown


def render_survey(survey: Survey, console: Console) -> None:
    """What is there, and what is odd about it."""
    say(console, f"{survey.layout}: {len(survey.classes)} classes, {_widths(survey)}")
    console.print(terminal(_survey_sheet(survey)))
    for note in [MADE_UP] * survey.made_up + list(survey.notes):
        say(console, f"note: {note}")


def render_outcome(outcome: Outcome, console: Console) -> None:
    """A row a method, a column group a protocol; then what was counted."""
    say(console, f"\n{outcome.benchmark.title}: average mAP (%), {_over(outcome)}, last checkpoint")
    console.print(terminal(_average_sheet(outcome)))
    for line in _notes(outcome):
        say(console, line)
    if len(outcome.results) > 1:
        say(console, f"\n{outcome.benchmark.protocols[0]}, average mAP: differences, 95 % bootstrap intervals")
        console.print(terminal(_difference_sheet(outcome)))


def page(outcome: Outcome, command: str) -> str:
    """The whole report as Markdown."""
    return "\n".join([*_head(outcome, command), *_data(outcome.survey), *_results(outcome), *_end(outcome)]) + "\n"


def _head(outcome: Outcome, command: str) -> Iterator[str]:
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
    differ = [f"`{name} = {value}`" for name, value in differing(outcome.config).items()]
    yield from ("## Settings", "", f"Seeds 0 to {outcome.seeds - 1}. What differs from the package's defaults: ")
    yield f"{', '.join(differ) or 'nothing'}."


def _survey_sheet(survey: Survey) -> Sheet:
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
    return Sheet(("subset", "videos", "promised", "with features", "snippets", "instances"), tuple(rows))


def _average_sheet(outcome: Outcome) -> Sheet:
    protocols = outcome.benchmark.protocols
    rows = [
        (method, *(mean_and_spread([_average(r) for r in results[protocol]]) for protocol in protocols))
        for method, results in outcome.results.items()
    ]
    first = next(iter(outcome.results.values()))
    heads = [f"{protocol}\n{_span(first[protocol][0])}" for protocol in protocols]
    return Sheet(("method", *heads), tuple(rows), bold=_bold(outcome))


def _protocol_sheet(outcome: Outcome, protocol: str) -> Sheet:
    first = next(iter(outcome.results.values()))[protocol][0]
    heads = [f"{tiou:g}" for tiou in first.tious] + [f"{low:g}:{high:g}" for low, high in first.averages]
    rows = []
    for method, by_protocol in outcome.results.items():
        results = by_protocol[protocol]
        maps = [mean_and_spread([100 * r.map[place] for r in results]) for place in range(len(first.tious))]
        averages = [mean_and_spread([100 * r.average(*span) for r in results]) for span in first.averages]
        rows.append((method, *maps, *averages))
    return Sheet(("method", *heads), tuple(rows), bold=_bold(outcome))


def _class_sheet(outcome: Outcome) -> Sheet:
    results = outcome.results[_ours(outcome)][outcome.benchmark.protocols[0]]
    first = results[0]
    place = min(range(len(first.tious)), key=lambda i: abs(first.tious[i] - SHOWN_AT))
    rows = []
    for label, count in first.instances_per_class.items():
        at = [100 * r.per_class[label][place] for r in results]
        over = [100 * sum(r.per_class[label]) / len(r.tious) for r in results]
        rows.append((label, f"{count:,}", mean_and_spread(at), mean_and_spread(over)))
    return Sheet(("class", "instances", f"tIoU {first.tious[place]:g}", "average"), tuple(rows))


def _difference_sheet(outcome: Outcome) -> Sheet:
    main = outcome.benchmark.protocols[0]
    scores = [score_of(outcome.benchmark.name, name, results[main]) for name, results in outcome.results.items()]
    videos = {(lead.file, lead.other): lead.difference for lead in outcome.side_by_side.leads}
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
    return Sheet(("methods", "difference", "over the seeds", "first seed", "over its videos"), tuple(rows))


def _interval(low: float, high: float) -> str:
    return f"[{low:+.1f}, {high:+.1f}]"


def _notes(outcome: Outcome) -> list[str]:
    """What the first method's evaluations counted and left out, each thing said once."""
    first = next(iter(outcome.results.values()))
    return notes([("", results[0]) for results in first.values()])


def _average(result: Result) -> float:
    """Of all tIoUs, in percent."""
    return 100 * result.average()


def _span(result: Result) -> str:
    return f"{result.tious[0]:g}:{result.tious[-1]:g}"


def _ours(outcome: Outcome) -> str:
    """The method that is shown beside others': `dfe`, or the last one that is scored by its local branch."""
    names = [name for name in outcome.results if name != "dfe-global"] or list(outcome.results)
    return "dfe" if "dfe" in names else names[-1]


def _bold(outcome: Outcome) -> tuple[int, ...]:
    return (list(outcome.results).index(_ours(outcome)),)


def _over(outcome: Outcome) -> str:
    return "one seed" if outcome.seeds == 1 else f"mean ± standard deviation over {outcome.seeds} seeds"


def _widths(survey: Survey) -> str:
    return f"features {' + '.join(map(str, survey.widths))} wide, a snippet every {survey.snippet_seconds:g} s"
