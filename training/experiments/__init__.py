"""One file per question, and its results."""
