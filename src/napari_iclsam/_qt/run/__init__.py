"""A run: what it is to do, the worker that does it, and how the dock shows it."""
