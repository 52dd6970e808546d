"""A training run: its folder, checkpoints, forecast, stop and start."""
