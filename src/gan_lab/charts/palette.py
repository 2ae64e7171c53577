"""Colors of charts and pages, as CSS variables; images use the light colors."""

LIGHT = {
    "ground": "#f6f7f9", "card": "#ffffff", "ink": "#1d2530", "dim": "#5d6877", "rule": "#dfe4ea", "accent": "#1f6fb2",
    "good": "#1a7f4b", "bad": "#b3261e", "wait": "#9a6700", "low": "#2b6cb0", "high": "#e07b00",
    "c0": "#1f77b4", "c1": "#e8710a", "c2": "#2b9348", "c3": "#c92a2a", "c4": "#7b4fb5",
    "c5": "#8c564b", "c6": "#d0489f", "c7": "#6b7280", "c8": "#8f8b00", "c9": "#0b93a8",
}  # fmt: skip

DARK = {
    "ground": "#12161c", "card": "#1a2029", "ink": "#e4e9f0", "dim": "#9aa6b5", "rule": "#303947", "accent": "#6cb2f0",
    "good": "#56c288", "bad": "#ff8a80", "wait": "#e5b567", "low": "#63a4ff", "high": "#ffb347",
    "c0": "#5aa9e6", "c1": "#ff9f4a", "c2": "#5ccb7a", "c3": "#ff7b7b", "c4": "#b292ea",
    "c5": "#c79a8d", "c6": "#f08bc8", "c7": "#a3adba", "c8": "#d3cf4a", "c9": "#4fd0e0",
}  # fmt: skip

LINE_COLORS = sum(name[1:].isdigit() for name in LIGHT)
"""Number of line colors, `c0` to `c9`; lines use them cyclically."""
