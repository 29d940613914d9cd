"""The promptable model's image encoder on its device, and the cache of its embeddings."""
