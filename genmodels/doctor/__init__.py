"""Doctors: what is wrong with a set of images before training. Start at `dataset.check`."""

from genmodels.doctor import dataset

__all__ = ["dataset"]
