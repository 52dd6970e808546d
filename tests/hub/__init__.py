"""Tests of `genmodels.hub`."""
