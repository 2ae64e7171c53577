"""Metrics of generated samples: pure formulas, and torchmetrics that accumulate what the formulas need."""
