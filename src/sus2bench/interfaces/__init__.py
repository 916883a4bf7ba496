"""Doors to other programs: they need a frame and a callable, and know no model."""
