"""Generators and discriminators, one file per family, with one constructor vocabulary.

A generator takes `latent_dim, channels, resolution, width, norm, init, init_scale`, a discriminator the same without
`latent_dim`; what only one family has comes after these. Generators map latents (n, latent_dim) to samples.
Discriminators map samples to logits (n,), never probabilities, and show their last hidden layer as `features(x)`, (n,
F). Samples are images (n, channels, resolution, resolution) in [-1, 1], or points (n, channels) where the resolution
is None.
"""
