"""Fusion of both models: as published, and by log-odds with cross-validated weights."""
