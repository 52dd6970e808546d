"""Tests of `genmodels.models`."""
