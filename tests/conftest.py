"""Settings and a fixture for all tests."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

# A slow machine is not an error, so there are no deadlines. CI draws the same examples every time.
settings.register_profile("charnn", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("charnn")


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that records calls: it takes (owner, name) pairs and returns a list.

    Each call of one of those functions appends its name to the list.
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
