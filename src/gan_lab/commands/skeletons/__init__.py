"""Files that `gan-lab new` writes, with other names in the place of `own_package`, `skeleton` and `Skeleton`."""
