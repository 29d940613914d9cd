"""A run: what is asked of it, the worker that does it, and how the dock shows it."""
