"""Callbacks: budget, logs, progress bar, sample grids, evaluation, checkpoints, preemption, detection of collapse."""
