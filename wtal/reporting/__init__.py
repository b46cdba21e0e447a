"""Presents results: tables, progress and timelines in the terminal, figures, Markdown and the HTML report."""
