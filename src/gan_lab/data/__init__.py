"""Real data: readers of image sets, decoding and caching, resumable loaders, and data modules."""
