"""Training runs: start and resume, recovery from errors, end."""
