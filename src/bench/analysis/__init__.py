"""Starts -> comparisons; pure."""
