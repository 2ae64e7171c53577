"""Registers gan_lab's schemas and resolvers wherever Hydra is initialized. Hydra searches this package for plugins."""

from gan_lab.config import resolvers
from gan_lab.config.yaml_in_c import use_libyaml

resolvers.register()
use_libyaml()
