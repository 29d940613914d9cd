"""How good a segmentation is, or will probably be."""
