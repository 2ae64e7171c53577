"""Real data: readers of image sets, their decoding and caching, resumable loaders, and the data modules around them."""
