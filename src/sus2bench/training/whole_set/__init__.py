"""Optimizers that look at the whole training set in every step."""
