"""How commands print numbers: figures in lines or JSON, durations, bits."""

import math
from typing import Any

from charnn.showing import json_line


def bits(nats: float) -> float:
    """Convert nats to bits."""
    return nats / math.log(2)


def duration(seconds: float) -> str:
    """Show a time as 42s, 3m10s or 2h05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """Print figures as one JSON object, or as aligned lines of a name and a value."""
    if as_json:
        print(json_line(figures))
        return
    width = max(16, *(len(name) + 2 for name in figures))
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<{width}}{_figure(value)}")


def _figure(value: Any) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.3e}" if abs(value) >= 1e9 else f"{value:.4f}"
        case int() if not isinstance(value, bool):
            return f"{value:,}"
        case _:
            return str(value)
