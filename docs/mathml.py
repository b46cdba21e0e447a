"""Equations of the documentation: LaTeX in ```math fences -> MathML, which browsers draw without a script."""

from typing import Any

from latex2mathml.converter import convert


def fence(source: str, language: str, css_class: str, *_: Any, **__: Any) -> str:
    """A fence as pymdownx.superfences asks for it."""
    return f'<div class="{css_class}">{convert(source, display="block")}</div>'
