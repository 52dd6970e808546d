"""Tests of genmodels, by its rooms. A package: they share the Hub double in tests/support/."""
