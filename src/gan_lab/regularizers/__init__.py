"""Penalties added to the discriminator's loss, and constraints on its weights."""
