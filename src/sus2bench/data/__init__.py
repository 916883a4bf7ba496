"""From frames to batches: catalogue, checks, splits, statistics, samplers, data module."""
