"""Adapters round the packages of other authors, which are imported only when a model is built."""
