"""Charts as data: axes, curves and labels are computed once, and drawn as SVG for pages or as PNG for files."""
