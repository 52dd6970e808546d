"""What does the tabs' work: models, pictures, photos, workers, jobs."""
