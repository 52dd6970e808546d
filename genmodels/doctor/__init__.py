"""Doctors: `dataset` before training, `training` during it, `memorization` of its samples after."""

from genmodels.doctor import dataset, memorization, training

__all__ = ["dataset", "memorization", "training"]
