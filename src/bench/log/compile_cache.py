"""What vLLM did with its compile cache, as the texts of its log show. Pure.

Source: vllm/compilation, the lines that it prints when it compiles, and when it takes a compiled graph from its cache.
"""

COMPILED = ("Compiling a graph for", "saved AOT compiled function", "Cache the graph of", "Cache the graph for")
LOAD_FAILED = "Compiling model again due to a load failure"
LOADED = ("Directly load AOT compilation from path", "Directly load the compiled graph")


class CompileCache:
    """Takes the texts of a log one by one."""

    def __init__(self) -> None:
        self._compiled = self._loaded = self._failed = False

    def see(self, text: str) -> None:
        """The next line's text."""
        self._failed = self._failed or LOAD_FAILED in text
        self._compiled = self._compiled or any(each in text for each in COMPILED)
        self._loaded = self._loaded or any(each in text for each in LOADED)

    @property
    def happened(self) -> str:
        """compiled, loaded, both (it compiled a part), load_failed (a compiled graph was found, could not be loaded and was compiled
        again), or none (eager, or nothing was printed).
        """
        if self._failed:
            return "load_failed"
        if self._compiled and self._loaded:
            return "both"
        return "compiled" if self._compiled else "loaded" if self._loaded else "none"
