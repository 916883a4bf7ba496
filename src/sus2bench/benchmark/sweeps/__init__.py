"""Sweeps: which jobs there are, how far they have got, what is left to run, and how it ended."""
