"""Runs and what they leave: accuracy, parameter counts, speed, records and tables."""
