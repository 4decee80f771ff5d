"""Other processes as Linux shows them in /proc."""

import os
from pathlib import Path


def _stat(process: int) -> list[str]:
    """Return the fields after the name, which may itself hold anything: state, parent, …"""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def alive(process: int) -> bool:
    """Whether it runs: one that has ended, and whose parent has not asked, does not."""
    try:
        return _stat(process)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(parent: int) -> list[int]:
    """Return the processes that another has started and that run, the oldest first."""
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
    """Return the bytes of memory that a process has in use."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
