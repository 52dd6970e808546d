"""Tests of genmodels. A package, so that tests can share the Hub double in tests/hub_server.py."""
