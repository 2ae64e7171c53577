"""Published weights of other projects: readers that run no code of a file, and conversions to networks of gan_lab."""
