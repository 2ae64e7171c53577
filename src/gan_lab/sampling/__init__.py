"""Loading generators from checkpoints and exports, to sample from them."""
