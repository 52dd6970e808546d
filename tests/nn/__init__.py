"""Tests of `genmodels.nn`."""
