"""XML files from annotation tools: parsed without entities and with limits, and text as XML stores it."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.parsers import expat

from wtal.core.errors import DataError
from wtal.core.io import read_bytes
from wtal.data.parsing import Location

MAX_FILE_BYTES = 100_000_000  # a densely annotated day of video needs about 1 % of it
MAX_ELEMENTS = 500_000  # ELAN stores an annotation in five elements
INVALID_CHARACTER = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    """Text as XML stores it."""
    return INVALID_CHARACTER.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def parse_xml(path: Path, tool: str, set_handlers: Callable[[expat.XMLParserType], None]) -> None:
    """Parse a file from start to end.

    A DOCTYPE is rejected, because it can declare nested entities that expand to any size, and external ones.

    Args:
        path: The file.
        tool: Name of the annotation tool, for error messages.
        set_handlers: Sets the handlers of the parser, `StartElementHandler` among them.

    Raises:
        DataError: The file cannot be read, is too large, has too many elements, is not XML, or has a DOCTYPE.
    """

    def reject_doctype(*_: object) -> None:
        raise DataError(
            f"has a DOCTYPE, which {tool} never writes", path=path, hint=f"save it in {tool} again", code="xml-doctype"
        )

    def count_element(name: str, attributes: Any) -> None:
        if next(counter) > MAX_ELEMENTS:
            message = f"more than {MAX_ELEMENTS:,} elements"
            raise DataError(message, path=path, hint=f"split it in {tool}", code="file-too-large")
        start_element(name, attributes)

    counter = itertools.count(1)
    data = read_bytes(path, MAX_FILE_BYTES, f"split it in {tool}")
    parser = expat.ParserCreate(namespace_separator="}")  # as in ElementTree, which rejects undeclared prefixes
    parser.StartDoctypeDeclHandler = reject_doctype
    set_handlers(parser)
    start_element: Any = parser.StartElementHandler
    parser.StartElementHandler = count_element
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise Location(path, f"line {error.lineno}").error(
            f"invalid XML ({expat.ErrorString(error.code)})", "the file may be truncated", "invalid-xml"
        ) from error
    except (LookupError, ValueError) as error:
        raise DataError(
            f"unsupported encoding ({error})", path=path, hint="save it as UTF-8", code="invalid-encoding"
        ) from error
