"""Pages in one file: a template with its style, its scripts and its data inside.

The parts are in the folder `pages`. A page makes no network requests, and its content-security
policy forbids them. It runs only the script whose hash the policy names.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charnn.errors import CharnnError

try:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup
except ImportError:
    raise CharnnError(
        "this needs Jinja2, which is not installed: pip install 'charnn[report]'"
    ) from None

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.showing import printable

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src '{script}'; "
    "worker-src {workers}; img-src data:; base-uri 'none'; form-action 'none'"
)


def sources(names: Sequence[str]) -> Markup:
    """Return the text of some files in `pages`, joined and unchanged."""
    folder = files("charnn.insight") / "pages"
    return Markup("".join((folder / name).read_text(encoding="utf-8") for name in names))


def rendered(
    name: str,
    checkpoint: Checkpoint,
    file_name: str,
    *,
    data: Mapping[str, Any],
    scripts: Sequence[str] = (),
    workers: bool = False,
    **values: Any,
) -> str:
    """Return the HTML of a page.

    The page has the style of `style.css` and NAME.css, and the scripts `parts.js` and NAME.js.

    Args:
        name: the template is NAME.html.
        checkpoint: the model that the header of the page describes.
        file_name: the title.
        data: the value of `data` in the scripts.
        scripts: more scripts, which come before NAME.js.
        workers: whether the page may start workers.
        values: other values for the template.
    """
    script = sources(["parts.js", *scripts, f"{name}.js"])
    # For a browser, the newline after <script> is part of the script.
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    policy = _POLICY.format(script=f"sha256-{digest}", workers="blob:" if workers else "'none'")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        loader=FunctionLoader(lambda part: sources([part])),
    )
    return environment.get_template(f"{name}.html").render(
        name=printable(file_name),
        checkpoint=checkpoint,
        data=data,
        policy=Markup(policy),
        style=sources(["style.css", f"{name}.css"]),
        script=script,
        **values,
    )


def packed(values: NDArray[Any], dtype: str) -> str:
    """Return numbers of a dtype as their bytes in base64."""
    return base64.b64encode(np.asarray(values, dtype).tobytes()).decode()
