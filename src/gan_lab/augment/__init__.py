"""Augmentations of all images, real and generated, at the input of the discriminator."""
