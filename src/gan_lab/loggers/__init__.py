"""Loggers that never stop a run."""
