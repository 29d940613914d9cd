"""What the viewer holds and shows, as values, and the layers that results are written into."""
