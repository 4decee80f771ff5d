"""Settings of all tests."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

# Without deadlines, because a slow machine is not an error. CI draws the same examples every time.
settings.register_profile("charnn", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("charnn")


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that records calls: it takes (owner, name) pairs and returns a list.

    The list grows by a name with every call of one of those functions.
    """

    def start(*functions: tuple[Any, str]) -> list[str]:
        done: list[str] = []

        def noted(name: str, call: Any) -> Any:
            def wrapper(*arguments: Any) -> Any:
                done.append(name)
                return call(*arguments)

            return wrapper

        for owner, name in functions:
            monkeypatch.setattr(owner, name, noted(name, getattr(owner, name)))
        return done

    return start
