"""Tests of `genmodels.data`."""
