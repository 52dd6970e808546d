"""Doctors: `dataset` checks images before training, `training` watches the training itself."""

from genmodels.doctor import dataset, training

__all__ = ["dataset", "training"]
