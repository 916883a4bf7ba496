"""Frames of atoms: labels, units, neighbour graphs, and the files they come from."""
