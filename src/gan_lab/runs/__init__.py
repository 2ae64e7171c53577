"""Run folders: reader, state and checkpoints. Imports neither Lightning nor Hydra."""
