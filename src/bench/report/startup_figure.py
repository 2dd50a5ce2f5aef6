"""placeholder"""
from pathlib import Path
from bench.startup.record import Startup
def draw_startup(startup: Startup, folder: Path) -> None:
    return
