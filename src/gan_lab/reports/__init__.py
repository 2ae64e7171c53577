"""What is read off finished and running runs: comparisons, pages, lists, the objective of a search."""
