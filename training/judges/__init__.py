"""Classifiers and tests that judge generated images."""
