"""Settings of all tests."""

import os

from hypothesis import settings

# No deadlines: a slow machine is not a wrong result. In CI the same examples every time.
settings.register_profile("charnn", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("charnn")
