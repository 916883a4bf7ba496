"""Architectures, one file or folder each, and `potential.py`, which gives them E, F and stress."""
