"""Weights: which files exist, where they lie, how they get there. Imports no torch."""
