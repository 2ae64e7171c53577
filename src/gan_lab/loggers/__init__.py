"""Loggers that never stop a run, and that go on where an earlier part of it ended.

A logger of gan_lab has `go_on_from(images_seen)`, which is called before anything is logged.
"""
