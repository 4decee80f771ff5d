"""The contents of the page that runs a model, tested without a browser."""

import base64
import hashlib
import json
import re
import string
from typing import Any

import numpy as np
import pytest

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.errors import RequestError
from charnn.insight.live import Precision, live_page
from charnn.network.cells import CELLS
from charnn.showing import BOUNDARY
from tests.helpers.checkpoints import random_checkpoint

HOSTILE = "<>&'\"/\\`${}\n\r\t\x00\x07\u2028\u2029\u202e\u200d\ufeff\ue000␍🙂漢</script><!--"


def block(page: str, name: str) -> str:
    """Return the text of the script element with this id."""
    return re.split(rf'<script id="{name}"[^>]*>', page)[1].split("</script>")[0]


def page_of(checkpoint: Checkpoint, dtype: Precision = "float16") -> tuple[str, dict[str, Any]]:
    """Return the page of a model, and the data in it."""
    page = live_page(checkpoint, "model.npz", dtype)
    return page, json.loads(block(page, "data"))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_weights_in_the_page_are_those_of_the_checkpoint(cell: str, dtype: Precision) -> None:
    checkpoint = random_checkpoint("abc\n", cell, hidden_size=6, num_layers=2)
    page, data = page_of(checkpoint, dtype)
    held = np.frombuffer(base64.b64decode(block(page, "weights")), np.dtype(dtype))
    at = 0
    for (name, parameter), (said, shape) in zip(
        checkpoint.model.parameters.items(), data["shapes"], strict=True
    ):
        assert (said, tuple(shape)) == (name, parameter.shape)
        found = held[at : at + parameter.size].reshape(shape)
        at += parameter.size
        if dtype == "float32":
            assert found.tobytes() == parameter.tobytes()
        else:
            assert np.abs(found - parameter).max() <= np.abs(parameter).max() * 2.0**-11
    assert at == len(held)
    assert (data["cell"], data["dtype"]) == (cell, dtype)
    assert data["gates"] == list(checkpoint.model.spec.cell_class.gate_names)


def test_float64_is_rounded_and_what_does_not_fit_is_an_error() -> None:
    checkpoint = random_checkpoint("ab\n", hidden_size=3)
    checkpoint.model.parameters["V"][0, 0] = 70_000
    with pytest.raises(RequestError, match=r"of 7e\+04 is too large for float16; choose --dtype"):
        live_page(checkpoint, "model.npz", "float16")
    page, _ = page_of(checkpoint, "float32")
    held = np.frombuffer(base64.b64decode(block(page, "weights")), "<f4")
    assert 70_000 in held


def test_the_size_of_a_page() -> None:
    characters = string.printable + "".join(map(chr, range(0x4E00, 0x5E00)))
    checkpoint = random_checkpoint(characters, hidden_size=192, num_layers=3)
    parameters = checkpoint.model.num_parameters
    assert len(page_of(checkpoint)[0].encode()) < 2.7 * parameters + 300_000
    assert len(page_of(checkpoint, "float32")[0].encode()) < 5.4 * parameters + 300_000
    assert len(page_of(random_checkpoint("ab", hidden_size=1))[0]) < 60_000


def test_hostile_characters_stay_text() -> None:
    checkpoint = random_checkpoint(HOSTILE, documents=True, hidden_size=3)
    name = "<b onclick=alert(1)>&amp;{{ 7 * 7 }}\u202e\x1b.npz"
    page = live_page(checkpoint, name, "float16")
    data = json.loads(block(page, "data"))
    assert data["characters"] == checkpoint.vocabulary.characters
    assert data["characters"][data["boundary"]] == BOUNDARY
    assert data["opening"] == data["boundary"]
    assert page.count("</script>") == page.count("<script") == 4
    assert "<b onclick" not in page
    assert "&lt;b onclick=alert(1)&gt;&amp;amp;{{ 7 * 7 }}\\u202e\\x1b.npz</h1>" in page
    page.encode("utf-8")  # this fails on half of a UTF-16 pair
    outside = set(page) - set(string.printable)
    assert not {"\u2028", "\u2029", "\u202e", "\x00", "\x07", "\ufeff"} & outside


def test_the_policy_allows_the_one_script_and_no_requests() -> None:
    page, _ = page_of(random_checkpoint("ab\n", hidden_size=3))
    (policy,) = re.findall('http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    script = re.split("<script>", page)[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
        "worker-src": "blob:",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not re.search(r'(src|href)\s*=\s*(?!"data:)["\']|@import|url\(', page)


def test_the_model_computes_with_operations_that_are_the_same_everywhere() -> None:
    """Browsers may differ in the last bits of Math.exp. These operations are exact."""
    page, _ = page_of(random_checkpoint("ab\n", hidden_size=3))
    worker = re.sub("//.*", "", block(page, "worker"))
    assert set(re.findall(r"Math\.(\w+)", worker)) == {"floor", "imul", "max", "min"}
    assert "**" not in worker


@pytest.mark.parametrize(
    ("characters", "documents", "opening"),
    [("ab \n", False, "\n"), ("ab ", False, " "), ("ba", False, "a"), ("ab\n", True, BOUNDARY)],
)
def test_a_text_begins_as_charnn_sample_begins_it(
    characters: str, documents: bool, opening: str
) -> None:
    _, data = page_of(random_checkpoint(characters, documents=documents, hidden_size=3))
    assert data["characters"][data["opening"]] == opening
