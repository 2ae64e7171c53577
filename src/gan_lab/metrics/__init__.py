"""How good samples are: formulas, and the metrics that keep count of samples for them."""
