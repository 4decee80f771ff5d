"""Tables as Markdown or JSON, and the machine they were measured on."""

import datetime
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measuring import Spread

Value = str | float | Spread | None


@dataclass
class Table:
    """A table with a title and notes. Each row maps the names of columns to values."""

    title: str
    rows: list[dict[str, Value]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the table as Markdown, without the columns that have no value in any row."""
        every = dict.fromkeys(name for row in self.rows for name in row)
        names = [name for name in every if any(row.get(name) is not None for row in self.rows)]
        lines = [names, ["---"] * len(names)]
        lines += [[shown(row.get(name)) for name in names] for row in self.rows]
        table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        return f"## {self.title}\n\n{table}\n" + "".join(f"{note}\n\n" for note in self.notes)

    def record(self) -> dict[str, Any]:
        """Return the table as a dict for JSON."""
        return asdict(self)


def shown(value: Value) -> str:
    """Return a number with three digits, or a median with the lowest and the highest value."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Spread):
        return f"{shown(value.median)} ({shown(value.low)}–{shown(value.high)})"
    digits = 3 - len(str(int(value))) if value >= 1 else 3
    return f"{value:,.{max(0, digits)}f}"


def machine() -> dict[str, str]:
    """Return the date, the hardware and the versions of libraries."""
    import numpy as np
    from threadpoolctl import threadpool_info

    import charnn
    from benchmarks.measuring import installed

    blas = [
        f"{pool['internal_api']} {pool['version']} ({pool.get('architecture', '?')}, "
        f"{pool['num_threads']} threads)"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    found = {
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "charnn": charnn.__version__,
        "NumPy": np.__version__,
        "BLAS": ", ".join(blas) or "unknown",
    }
    for peer, name in (("torch", "PyTorch"), ("jax", "JAX")):
        found[name] = version(peer) if installed(peer) else "not installed, left out"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
