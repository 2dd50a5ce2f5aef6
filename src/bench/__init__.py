"""How long does vLLM take from exec to the first token, by load format, and can the number be trusted?"""

__version__ = "0.1.0"
