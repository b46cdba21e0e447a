"""Tables of the documentation that repeat what the code knows: `python -m docs.tables` writes them anew.

A page has `<!-- table: NAME -->`, the table, `<!-- /table -->`; what stands between is made here.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wtal.core.config import Config
from wtal.core.methods import METHODS
from wtal.core.text import code_span, markdown_table
from wtal.data.annotations.base import AnnotationFormat
from wtal.data.annotations.registry import FORMATS
from wtal.evaluation.protocols import PROTOCOLS, Protocol
from wtal.experiments.benchmarks.definitions import BENCHMARKS
from wtal.experiments.compare import ARMS
from wtal.experiments.published import BENCHMARKS as PUBLISHED
from wtal.experiments.published import published
from wtal.reporting.evaluation_tables import published_table
from wtal.reporting.tables import to_markdown

DOCS = Path(__file__).parent
BLOCK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def settings_table(section: str) -> list[str]:
    """Name, default, what is allowed, meaning."""
    settings = Config.model_fields[section].annotation
    assert isinstance(settings, type) and issubclass(settings, BaseModel)
    rows = [
        (
            code_span(name),
            code_span(_toml(field.default)),
            _allowed(field),
            field.description or "",
        )
        for name, field in settings.model_fields.items()
    ]
    return list(markdown_table(("setting", "default", "allowed", "meaning"), rows))


def methods_table() -> list[str]:
    """The parts that each method has."""
    memory = {"none": "none", "kept": "yes", "shuffled": "classes shuffled", "random": "frozen at random"}
    teacher = {"none": "none", "global": "global branch", "dropout": "itself, another dropout"}
    rows = [
        (code_span(name), "yes" if parts.local else "no", memory[parts.memory], teacher[parts.teacher])
        for name, parts in METHODS.items()
    ]
    return list(markdown_table(("method", "local enhancement", "memory", "teacher"), rows))


def protocols_table() -> list[str]:
    """In which facts the protocols differ."""
    heads = ("protocol", "unit", "rounded", "tIoU", "left out", "takes", "precision", "ambiguous", "promises")
    return list(markdown_table(heads, [_protocol_row(rules) for rules in PROTOCOLS.values()]))


def benchmarks_table() -> list[str]:
    """What each benchmark promises."""
    rows = [
        (
            code_span(one.name),
            str(one.classes),
            ", ".join(f"{count:,} {subset}" for subset, count in one.videos.items()),
            f"{one.scored}, {one.instances:,} instances" if one.instances else one.scored,
            " + ".join(map(str, one.widths)),
            ", ".join(map(code_span, one.protocols)),
        )
        for one in BENCHMARKS.values()
    ]
    return list(markdown_table(("benchmark", "classes", "videos", "scored", "features", "protocols"), rows))


def ablation_table() -> list[str]:
    """What each arm changes."""
    rows = [(code_span(name), ", ".join(map(code_span, changes)) or "nothing") for name, changes in ARMS.items()]
    return list(markdown_table(("arm", "changes"), rows))


def annotation_formats_table() -> list[str]:
    """What each annotation format stores."""
    heads = ("name", "format", "extension", "one video per file", "times", "scores", "also stored")
    return list(markdown_table(heads, [_annotation_format_row(format) for format in FORMATS.values()]))


TABLES: dict[str, Callable[[], list[str]]] = {
    **{
        f"settings.{name}": lambda name=name: settings_table(name) for name in ("model", "weights", "train", "localize")
    },
    **{
        f"published.{name}": lambda name=name: to_markdown(published_table(name))
        for name in PUBLISHED
        if published(name)
    },
    "methods": methods_table,
    "protocols": protocols_table,
    "benchmarks": benchmarks_table,
    "ablation": ablation_table,
    "annotation_formats": annotation_formats_table,
}


def with_tables(text: str) -> str:
    """A page with its tables as the code has them now."""
    return BLOCK.sub(lambda block: f"{block[1]}\n" + "\n".join(TABLES[block[2]]()) + f"\n\n{block[3]}", text)


def pages() -> Iterator[Path]:
    """Every page."""
    yield from sorted(DOCS.glob("*.md"))


def _protocol_row(rules: Protocol) -> tuple[str, ...]:
    rounded = "truth and proposals" if rules.truncates_proposals else "truth" if rules.snippet_rate else "nothing"
    return (
        code_span(rules.name),
        "seconds" if rules.snippet_rate is None else "snippets",
        rounded,
        f"{rules.tious[0]:g} to {rules.tious[-1]:g}",
        f"{len(rules.excluded_videos)} videos" if rules.excluded_videos else "nothing",
        "best free" if rules.prefers_best else "first in file",
        "envelope" if rules.interpolated else "at each hit",
        "removed" if rules.removes_ambiguous else "not used",
        ", ".join(f"{count:,} {what}" for what, count in rules.expected_counts.items()) or "nothing",
    )


def _annotation_format_row(format: AnnotationFormat) -> tuple[str, ...]:
    units = {0: "exact", 1000: "milliseconds", 1_000_000: "microseconds"}
    times = "frames" if format.needs_fps else units[format.ticks_per_second]
    scores = "four digits" if format.score_note else "required" if format.requires_scores else "exact"
    return (
        code_span(format.name),
        format.title,
        code_span(format.extension),
        "yes" if format.single_video else "",
        times if format.allows_zero_length else f"{times}, at least one",
        scores if "scores" in format.keeps else "",
        ", ".join(sorted(format.keeps - {"scores"})),
    )


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _allowed(field: FieldInfo) -> str:
    """The choices of a setting, or its bounds."""
    if choices := [word for word in getattr(field.annotation, "__args__", ()) if isinstance(word, str)]:
        return ", ".join(map(code_span, choices))
    said = {
        "ge": "from {}",
        "gt": "above {}",
        "le": "to {}",
        "lt": "below {}",
        "multiple_of": "a multiple of {}",
        "max_length": "at most {} of them",
    }
    bounds = {name: getattr(part, name) for part in field.metadata for name in said if hasattr(part, name)}
    return ", ".join(said[name].format(_number(bounds[name])) for name in said if name in bounds)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


if __name__ == "__main__":
    for path in pages():
        old = path.read_text(encoding="utf-8")
        if (new := with_tables(old)) != old:
            path.write_text(new, encoding="utf-8")
            print(f"{path.relative_to(DOCS.parent)}: tables written")
