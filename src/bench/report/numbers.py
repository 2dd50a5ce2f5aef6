"""How numbers are written in every report: ratios, seconds, sizes, dollars, shares. Pure."""

from collections.abc import Sequence

from bench.analysis.statistics import Interval

SMALLEST_GIB = 0.1
WHOLE = 0.1  # a share from which no digit behind the point is needed
GROUPED = 1000  # dollars from which cents are noise


def ratio_text(ratio: Interval) -> str:
    """`1.15x [0.90, 1.48]`"""
    return f"{ratio.mean:.2f}x" + ("" if ratio.low is None else f" [{ratio.low:.2f}, {ratio.high:.2f}]")


def saved_text(saved: Interval) -> str:
    """Seconds with a sign and, if there is an interval, half its width; without a sign where two digits show 0.00."""
    signed = f"{saved.mean:+.2f}" if round(saved.mean, 2) else "0.00"
    return signed + ("" if saved.high is None else f" ± {saved.high - saved.mean:.2f}")


def size_text(gib: float) -> str:
    """GiB, or MiB where GiB would be all zeros."""
    return f"{gib:.2f} GiB" if gib >= SMALLEST_GIB else f"{gib * 1024:.2f} MiB"


def percent(share: float) -> str:
    """`28 %`, `4.3 %`"""
    return f"{100 * share:.{0 if share >= WHOLE else 1}f} %"


def usd_text(usd: float) -> str:
    """`$0.0396`, `$14.3`, `$1,430`; below 0 with its sign."""
    amount = abs(usd)
    return f"{'-' if usd < 0 else ''}${f'{amount:,.0f}' if amount >= GROUPED else f'{amount:.3g}'}"


def listed(texts: Sequence[str], most: int) -> str:
    """`a, b and c`; `a, b, c and 4 more`"""
    shown = [*texts[:most], *([f"{len(texts) - most} more"] if len(texts) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
