"""One start of vLLM as values: prepared, run, read, described."""
