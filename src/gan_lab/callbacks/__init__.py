"""What watches a run: budget, logs, progress, sample grids, checkpoints."""
