"""Run:ai Model Streamer's own lines."""


def name_streamer_lines() -> None:
    """Let Run:ai Model Streamer's own lines reach the log, with the process that they come from.

    To 0.15.0 it prints them; 0.15.1 to 0.16.1 log them to a logger without a handler; 0.17 shows them without a pid, so
    that the ranks cannot be distinguished. It takes a handler with this mark for its own and adds none (its
    `__init__.py`). Nothing is imported: the logger is only named.
    """
    import logging

    handler = logging.StreamHandler()
    handler._runai_stderr_handler = True  # type: ignore[attr-defined]  # noqa: SLF001  # the mark that it looks for
    handler.setFormatter(logging.Formatter("(%(processName)s pid=%(process)d) %(asctime)s [%(levelname)s] %(message)s"))
    logger = logging.getLogger("runai_model_streamer")
    if not logger.handlers:
        logger.addHandler(handler)
        logger.propagate = False
