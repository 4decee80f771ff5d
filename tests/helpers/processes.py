"""The state of other processes, read from /proc on Linux."""

import os
from pathlib import Path


def _stat(process: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, …

    The name itself may contain spaces and parentheses.
    """
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def alive(process: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return _stat(process)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(parent: int) -> list[int]:
    """Return the running children of a process, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and alive(int(entry.name)):
            try:
                fields = _stat(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == parent:
                found.append((int(fields[19]), int(entry.name)))
    return [process for _, process in sorted(found)]


def resident(process: int) -> int:
    """Return the resident memory of a process in bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
