"""Comparison -> markdown, figures, JSON."""
