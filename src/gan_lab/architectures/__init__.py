"""Generators and discriminators, one file per family, with common constructor arguments.

Generators take `latent_dim, channels, resolution, width, norm, init, init_scale`, discriminators the same without
`latent_dim`; arguments of a single family follow these. Generators map latents (n, latent_dim) to samples.
Discriminators map samples to logits (n,), never probabilities; `features(x)` is their last hidden layer (n, F). Samples
are images (n, channels, resolution, resolution) in [-1, 1], or points (n, channels) if the resolution is None.
"""
