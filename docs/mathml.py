"""Equations of the documentation: LaTeX in ```math fences becomes MathML, which browsers render without a script."""

from typing import Any

from latex2mathml.converter import convert


def fence(source: str, language: str, css_class: str, *_: Any, **__: Any) -> str:
    """Render a fence; the signature is that of a custom fence of pymdownx.superfences."""
    return f'<div class="{css_class}">{convert(source, display="block")}</div>'
