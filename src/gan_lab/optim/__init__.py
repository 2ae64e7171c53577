"""Averages and schedules of training, as functions of the real images seen."""
