"""One file or package per family of networks."""
