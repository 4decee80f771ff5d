"""Read config files in the current directory, or see them refused."""

from pathlib import Path

import pytest

from charnn.config.keys import Config, all_keys
from charnn.config.loading import load_config, parse_override
from charnn.errors import ConfigError

FILE = Path("c.yaml")


KEYS = all_keys()


def read(text: str | bytes, *sets: str) -> Config:
    """Read a config file with this text, which `--set` options override."""
    FILE.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(FILE, dict(parse_override(option) for option in sets))


def refusal(text: str | bytes, *sets: str) -> str:
    """Return why a config file is refused."""
    with pytest.raises(ConfigError) as caught:
        read(text, *sets)
    assert caught.value.exit_code == 2
    return str(caught.value)
