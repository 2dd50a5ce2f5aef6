"""A log of vLLM: bytes -> lines -> starts -> numbers, params and outcomes (start_log.py is the way in). Pure."""
