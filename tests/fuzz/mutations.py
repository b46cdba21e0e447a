"""Random changes of a valid file: of its bytes, of the words in its text, and of the values in its JSON."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

MAX_CHANGES = 4
MAX_GROWTH = 50_000  # bytes that one change adds at most
EXTREME_INTEGERS = (0, 1, *((1 << bits) - less for bits in (7, 8, 15, 16, 31, 32, 63, 64) for less in (0, 1)))
HOSTILE_NUMBERS = (
    *("-1", "0", "-0", "1e308", "1e400", "-1e308", "NaN", "Infinity", "0x10", "1_0", "9" * 5000, "1e-400", "٣"),
)
HOSTILE_TEXTS = (
    *("", " ", "\0", "\n", "../../x", "/etc/passwd", "con.mp4", "a" * 5000, "\u202e", "\u200b", "\ud800", "\ufeff"),
    *("<script>", "]]>", "&lol;", "=1+1", "%s%n", "--", "{}", "[" * 5000, "[1 to 2]", "x@1:00", ";", '"', "\\"),
)
HOSTILE_VALUES: tuple[Any, ...] = (
    *(None, True, False, [], {}, -1, 0, 1e308, -1e308, float("nan"), float("inf"), 10**400, "", [[]], {"": None}),
    *(["a"] * 3, [0, 0], [1, 0], "1", "\ud800", "\u202e"),
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
WORD = re.compile(r"[^\W\d]\w+")
TAG = re.compile(r"<[^>]*>|\{|\}|\[|\]|,|:|\n")


def mutate(content: bytes, rng: random.Random) -> bytes:
    """One to `MAX_CHANGES` changes, reproducible from the state of the generator."""
    kinds: list[Callable[[bytes, random.Random], bytes]] = [_change_bytes]
    if _is_text(content):
        kinds += [_change_text] * 3
        if content.lstrip()[:1] in (b"{", b"["):
            kinds += [_change_json] * 4
    for _ in range(rng.randint(1, MAX_CHANGES)):
        content = rng.choice(kinds)(content, rng)
    return content


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _change_bytes(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return rng.randbytes(rng.randint(0, 50))
    start = rng.randrange(len(content))
    # Headers are more interesting than content.
    start = min(start, rng.randrange(1000)) if rng.random() < 0.5 else start
    length = rng.choice((1, 1, 2, 4, 8, rng.randint(1, 1 + len(content) // 4)))
    end = start + length
    match rng.randrange(8):
        case 0:
            return content[:start]
        case 1:
            return content[:start] + content[end:]
        case 2:
            return content[:start] + rng.randbytes(min(length, MAX_GROWTH)) + content[end:]
        case 3:
            return content[:end] + content[start : min(end, start + MAX_GROWTH)] + content[end:]
        case 4:
            size = rng.choice((1, 2, 4, 8))
            value = rng.choice(EXTREME_INTEGERS) % (1 << (8 * size))
            return content[:start] + value.to_bytes(size, rng.choice(("little", "big"))) + content[start + size :]
        case 5:
            return content[:start] + bytes([content[start] ^ (1 << rng.randrange(8))]) + content[start + 1 :]
        case 6:
            other = rng.randrange(len(content))
            return content[:start] + content[other : other + length] + content[end:]
        case _:
            return content[:start] + bytes([rng.randrange(256)]) * rng.choice((1, 100, 5000)) + content[start:]


def _change_text(content: bytes, rng: random.Random) -> bytes:
    text = content.decode(errors="surrogateescape")
    patterns = (NUMBER, HOSTILE_NUMBERS), (WORD, HOSTILE_TEXTS), (TAG, HOSTILE_TEXTS), (None, ())
    pattern, replacements = rng.choice(patterns)
    if pattern is None:  # a line twice, or gone
        lines = text.split("\n")
        index = rng.randrange(len(lines))
        lines[index : index + 1] = [lines[index]] * rng.choice((0, 2, 50))
        return "\n".join(lines).encode(errors="surrogateescape")[: len(content) + MAX_GROWTH]
    matches = list(pattern.finditer(text))
    if not matches:
        return content
    match = rng.choice(matches)
    others = [rng.choice(matches)[0], rng.choice(replacements)]
    changed = text[: match.start()] + rng.choice(others) + text[match.end() :]
    return changed.encode(errors="surrogatepass")


def _change_json(content: bytes, rng: random.Random) -> bytes:
    try:
        return _change_value(content, rng)
    except (ValueError, RecursionError):  # it is no JSON any more, or nested too deeply after several changes
        return content


def _change_value(content: bytes, rng: random.Random) -> bytes:
    value = json.loads(content)
    places: list[tuple[Any, Any]] = []  # container and key
    _collect(value, places)
    if not places:
        return content
    container, key = rng.choice(places)
    match rng.randrange(5):
        case 0:
            del container[key]
        case 1:
            container[key] = _nested(rng.choice((10, 500)))
        case 2 if isinstance(container, list):
            container.extend([container[key]] * rng.choice((1, 100)))
        case 3:
            other, other_key = rng.choice(places)
            container[key] = json.loads(json.dumps(other[other_key]))
        case _:
            container[key] = rng.choice(HOSTILE_VALUES)
    return json.dumps(value).encode()


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    """Every value below, as its container and key."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            _collect(value[key], places)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value
