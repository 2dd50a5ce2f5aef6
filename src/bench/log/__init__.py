"""What a log of vLLM tells: bytes -> lines -> starts -> numbers, params and outcomes. Pure."""
