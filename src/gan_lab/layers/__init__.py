"""Building blocks of networks: initial weights, normalization, and layers missing in PyTorch."""
