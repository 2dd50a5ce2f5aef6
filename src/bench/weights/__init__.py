"""Checkpoints: what load formats read."""
