"""Discriminators and losses with features of another network."""
