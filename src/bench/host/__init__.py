"""What must be equal between two starts, and what this host is."""
