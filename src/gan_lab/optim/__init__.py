"""Optimization: weight averaging and schedules as functions of real images seen, lazy and unrolled updates."""
