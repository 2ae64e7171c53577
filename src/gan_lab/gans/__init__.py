"""GAN algorithms as LightningModules that update players in phases, and the catalog of named GANs."""
