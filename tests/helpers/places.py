"""Folders of the repository that tests read."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"


def script(path: str) -> ModuleType:
    """Import a file outside any package; the path is relative to the project's folder."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
