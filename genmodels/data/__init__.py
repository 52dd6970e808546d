"""Pixels and labels: image files, folders, colours, conditions, splits."""
