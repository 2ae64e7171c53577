"""One module for each command: takes a composed config, returns what the command line prints."""
