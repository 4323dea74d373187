"""The written pairs, one file by subject; a package so that they are shipped."""
