"""Parts that networks are made of: initial weights, normalization, and layers that PyTorch does not have."""
