"""MLflow; no other package imports it."""
