"""Page in the browser for a trained generator: samples, directions, arithmetic, concepts and inversion."""
