"""One file per pipeline: a Hub folder in, PIL images out."""
