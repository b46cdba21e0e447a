"""Figures as PNG, SVG or PDF: timelines, error analysis and plots for papers."""
