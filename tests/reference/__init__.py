"""Numbers of the original program and the weights that it had (see README.md in this folder)."""
