"""The dock in napari: a client of the core and of the command, without torch."""
