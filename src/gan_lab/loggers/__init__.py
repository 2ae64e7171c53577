"""Loggers that never stop a run, and that resume together with it.

Loggers of gan_lab may define `resume_from(images_seen, rows)`, which is called before the first row is logged, and
`describe(description)`, which is called at the start of training with a `RunDescription`.
"""
