"""The door to Hydra: schema, checks, and the only place that builds objects from a config."""
