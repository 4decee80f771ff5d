"""Intercept file operations: to record them, to make one fail, or to end the process before one.

This covers operations that change a file, and reads of a file that is open for writing. Each write
is split into two halves, and each half is an operation, so that a write can be torn.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

# It runs before each operation and takes its name and path. It may raise an error or exit.
Before = Callable[[str, str], None]

_CHANGES = ("fsync", "replace", "chmod", "unlink", "mkdir")


@contextmanager
def watching(before: Before) -> Iterator[None]:
    """Call `before` ahead of every file operation inside the `with` block."""

    class Raw(io.FileIO):
        def write(self, content: Any) -> int:
            content = memoryview(content).cast("B")
            half = len(content) // 2
            for part in (content[:half], content[half:]):
                before("write", _name(self.fileno()))
                super().write(part)
            return len(content)

        def truncate(self, size: int | None = None) -> int:
            before("truncate", _name(self.fileno()))
            return super().truncate(size)

        def readinto(self, buffer: Any) -> int:
            before("read", _name(self.fileno()))
            return super().readinto(buffer)

        def readall(self) -> bytes:
            before("read", _name(self.fileno()))
            return super().readall()

    def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
        if "b" not in mode or not set(mode) & set("wax+"):
            return real_open(file, mode, buffering, *rest, **more)
        if not isinstance(file, int):
            before("open", str(file))
        raw = Raw(file, mode)
        if buffering == 0:
            return raw
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    def os_open(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if path != os.devnull:
            before("open", str(path))
        return real_os_open(path, flags, *rest, **more)

    def change(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def wrapper(target: Any, *rest: Any, **more: Any) -> Any:
            before(name, _name(target) if isinstance(target, int) else str(target))
            return real(target, *rest, **more)

        return wrapper

    real_open, real_os_open = io.open, os.open
    changes: dict[str, Any] = {name: change(name) for name in _CHANGES}
    with (
        patch.object(io, "open", opened),
        patch.object(os, "open", os_open),
        patch.multiple(os, **changes),
    ):
        yield


def _name(handle: int) -> str:
    return str(Path(f"/proc/self/fd/{handle}").readlink())
