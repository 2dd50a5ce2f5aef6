"""A command line before and while Hydra composes it: its words, the names of settings, and the points that they ask for."""
