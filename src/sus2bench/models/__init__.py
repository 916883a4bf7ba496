"""Architectures: one file or folder each; `potential.py` turns their site energies into E, F, stress."""
