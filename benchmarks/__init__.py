"""Measurements of accuracy and speed; not part of the package."""
