"""The command line: the table of commands, training, and what they have in common."""
