"""A page that runs a model in the reader's browser, with the weights inside.

`pages/model.js` is a second version of the network, with the same letters. docs/page.md describes
the page.
"""

from typing import Any, Literal

import numpy as np

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.errors import RequestError
from charnn.insight.rendering import packed, rendered, sources
from charnn.writing import opening

Precision = Literal["float16", "float32"]

_KINDS = {"float16": "<f2", "float32": "<f4"}


def live_page(checkpoint: Checkpoint, name: str, dtype: Precision) -> str:
    """Return the HTML of a page on which the reader writes with a model.

    Args:
        checkpoint: the model.
        name: the title of the page.
        dtype: of the parameters in the page.

    Raises:
        RequestError: if a parameter is too large for this dtype.
    """
    model, vocabulary = checkpoint.model, checkpoint.vocabulary
    with np.errstate(over="ignore"):
        weights = model.parameters.flat.astype(_KINDS[dtype])
    if not np.isfinite(weights).all():
        largest = float(np.abs(model.parameters.flat).max())
        instead = "; choose --dtype float32" if dtype == "float16" else ""
        raise RequestError(f"a parameter of {largest:.3g} is too large for {dtype}{instead}")
    data: dict[str, Any] = {
        "characters": vocabulary.characters,
        "boundary": vocabulary.boundary,
        "opening": int(vocabulary.encode(opening(vocabulary, ""))[0]),
        "cell": model.spec.cell,
        "activation": model.activation,
        "hidden_size": model.hidden_size,
        "num_layers": model.num_layers,
        "states": model.spec.cell_class.states,
        "gates": model.spec.cell_class.gate_names,
        "shapes": list(model.spec.shapes.items()),
        "dtype": dtype,
    }
    return rendered(
        "live",
        checkpoint,
        name,
        data=data,
        scripts=["field.js"],
        workers=True,
        weights=packed(weights, _KINDS[dtype]),
        worker=sources(["numbers.js", "model.js", "worker.js"]),
    )
