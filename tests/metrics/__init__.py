"""Tests of `genmodels.metrics`."""
