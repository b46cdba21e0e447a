"""XML files from annotation tools: parsed without entities and with limits, and text as XML stores it."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.parsers import expat

from wtal.core.errors import DataError
from wtal.core.io import require_file, to_data_error
from wtal.data.parsing import Location

MAX_FILE_BYTES = 100_000_000  # a densely annotated day of video needs about 1 % of it
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
        set_handlers: Sets the handlers of the parser, such as `StartElementHandler`.

    Raises:
        DataError: If the file cannot be read, is too large, is not XML, or has a DOCTYPE.
    """

    def reject_doctype(*_: object) -> None:
        raise DataError(
            f"has a DOCTYPE, which {tool} never writes", path=path, hint=f"save it in {tool} again", code="xml-doctype"
        )

    require_file(path)
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else None
    except OSError as error:
        raise to_data_error(error, path) from error
    if data is None:
        message = f"larger than {MAX_FILE_BYTES // 1_000_000} MB"
        raise DataError(message, path=path, hint=f"split it in {tool}", code="file-too-large")
    parser = expat.ParserCreate(namespace_separator="}")  # as in ElementTree, which rejects undeclared prefixes
    parser.StartDoctypeDeclHandler = reject_doctype
    set_handlers(parser)
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
