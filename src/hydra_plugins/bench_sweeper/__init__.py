"""Found by Hydra through the namespace package `hydra_plugins`."""
