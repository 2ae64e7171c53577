"""What can be said of a data set and of samples by their distances: copies among samples, duplicates in a set."""
