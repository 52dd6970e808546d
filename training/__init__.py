"""Training: one script per family, each with its loop in full view. Run from the clone."""
