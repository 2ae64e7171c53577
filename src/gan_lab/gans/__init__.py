"""The games: LightningModules that move the players, and the catalogue of those that have a name."""
