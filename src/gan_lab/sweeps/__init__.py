"""Sweeps: launching, stopping and comparing their runs."""
