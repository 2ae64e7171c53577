"""Regularizers: penalties added to losses, constraints on weights, and selection of generated samples."""
