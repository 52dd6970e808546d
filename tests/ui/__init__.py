"""Tests of `genmodels.ui`."""
