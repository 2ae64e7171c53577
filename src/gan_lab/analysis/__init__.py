"""Analysis of data sets and samples: memorization, near-duplicates, classifiers of digits."""
