"""MLflow; no other room imports it."""
