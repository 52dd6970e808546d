"""What networks compute with: losses, augmentation, EMA, resampling, threads, memory."""
