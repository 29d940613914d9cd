"""The dock widget: the only part that knows napari and Qt."""
