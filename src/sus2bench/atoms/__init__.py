"""A frame and its graph: keys and units, neighbour list, file formats."""
