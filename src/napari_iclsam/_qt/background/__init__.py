"""Work in other threads than that of the window."""
