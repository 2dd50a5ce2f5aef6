"""The figures of a comparison as objects."""

import pytest
from matplotlib.figure import Figure

from bench.report import comparison_figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are made while the test runs, in their order."""
    made: list[Figure] = []
    make = comparison_figures.figure
    monkeypatch.setattr(comparison_figures, "figure", lambda *size: made.append(make(*size)) or made[-1])
    return made
