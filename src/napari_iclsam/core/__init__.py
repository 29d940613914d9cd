"""The method: arrays in, arrays out. It knows no Qt and no napari."""
