"""One vLLM start, from exec to the first token."""
