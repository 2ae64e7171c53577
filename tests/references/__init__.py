"""Independent restatements of the metrics in NumPy, SciPy and the libraries that define them, and of published runs."""
