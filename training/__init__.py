"""Training: one script per family, each with its loop in full view. Run from the clone."""

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)
