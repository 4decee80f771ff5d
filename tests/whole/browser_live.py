"""The page that runs a model, in a real browser. `make test-browser` runs it; `make test` does not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.insight.live import Precision, live_page
from charnn.network.loss import log_softmax
from tests.helpers.checkpoints import random_checkpoint
from tests.helpers.chromium import Page
from tests.helpers.pages import HOSTILE, assert_contrast, assert_readable, complaints, requests

LETTERS = "\n !',-.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CELLS: list[tuple[str, dict[str, Any]]] = [
    ("rnn", {"activation": "tanh"}),
    ("rnn", {"activation": "relu"}),
    ("lstm", {}),
    ("gru", {}),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with Page() as page:
        page.resize(1400, 900)
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """The browser, which must not complain or ask for anything but the page and its worker."""
    browser.events.clear()
    yield browser
    assert not complaints(browser)
    others = [url for url in requests(browser) if not url.startswith("blob:")]
    assert all(url.startswith("file:") and url.endswith("/live.html") for url in others)


def open_page(
    page: Page, folder: Path, checkpoint: Checkpoint, dtype: Precision = "float16", text: str = ""
) -> None:
    """Open the page of a model and write a text in it."""
    path = folder / "live.html"
    html = live_page(checkpoint, "<i>{{ 7 * 7 }}.npz", dtype)
    path.write_text(html, encoding="utf-8", newline="")
    page.open(path)
    page.run("at('pace').value = 0")
    page.run("at('length').value = 30")
    if text:
        page.type(text)
    settled(page)


def settled(page: Page) -> None:
    page.wait("!writing && places.length === text.length + !ended")


def text_of(page: Page) -> str:
    return str(page.run("text.join('')"))


def press_write(page: Page) -> str:
    """Let the model go on, and return what it wrote."""
    before = text_of(page)
    page.press("Enter", control=True)
    settled(page)
    after = text_of(page)
    assert after.startswith(before)
    return after[len(before) :]


def numpys(checkpoint: Checkpoint, text: str) -> NDArray[np.float64]:
    """Return NumPy's logits in each place of a text, (N + 1, K)."""
    model, known = checkpoint.model, checkpoint.vocabulary
    opening = known.boundary if known.boundary is not None else known.encode("\n")[0]
    ids = np.array([opening, *known.encode(text)])
    o = model.logits(ids[:, None], model.zero_state())[:, 0]
    return o.astype(np.float64)


# --- the same numbers as NumPy's -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("cell", "options"), CELLS, ids=["tanh", "relu", "lstm", "gru"])
def test_log_probabilities_are_those_of_numpy(
    page: Page, tmp_path: Path, cell: str, options: dict[str, Any], layers: int, dtype: Precision
) -> None:
    """Runs the script of the worker in the page itself, where a test can call it."""
    checkpoint = random_checkpoint(LETTERS, cell, hidden_size=96, num_layers=layers, **options)
    open_page(page, tmp_path, checkpoint, dtype)
    ids = np.random.default_rng(2).integers(0, len(LETTERS), 1000)
    text = checkpoint.vocabulary.decode(ids)
    script = page.run("at('worker').textContent")
    found = page.run(f"""(() => {{ {script}
      const network = new Model(data, at("weights").textContent), found = [];
      network.read(data.opening);
      for (const x of {ids.tolist()}) {{
        network.predict();
        found.push(Array.from(network.log_y));
        network.read(x);
      }}
      return found;
    }})()""")
    expected = log_softmax(numpys(checkpoint, text)[:-1])
    error = float(np.abs(np.array(found) - expected).max())
    print(f"{cell}, {layers} layers, {dtype}: largest error of a log-probability {error:.1e}")
    assert error < {"float32": 1e-4, "float16": 1e-2}[dtype]


@pytest.mark.parametrize(("cell", "usual"), [("rnn", 2000), ("gru", 1000), ("lstm", 1000)])
def test_speed(page: Page, tmp_path: Path, cell: str, usual: int) -> None:
    checkpoint = random_checkpoint(LETTERS, cell, hidden_size=192, num_layers=3)
    open_page(page, tmp_path, checkpoint)
    page.run("at('length').value = 4000")
    press_write(page)
    said = page.run("at('status').textContent")
    speed = int(said.split(". ")[1].split()[0].replace(",", ""))
    print(f"{cell}, 3 layers of 192: {speed:,} characters a second")
    assert speed > usual / 20  # a busy machine is not an error


# --- the same text as from the same draws in Python ----------------------------------------------


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Return the four numbers of Philox4x32-10."""
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (second >> 32) ^ b ^ k, second % 2**32, (first >> 32) ^ d ^ m, first % 2**32
        k, m = (k + 0x9E3779B9) % 2**32, (m + 0xBB67AE85) % 2**32
    return [a, b, c, d]


def share(seed: int, number: int, place: int) -> float:
    """Return the draw from 0 to 1 for a place of a text."""
    a, b, *_ = philox([place, number, 0, 0], [seed % 2**32, seed >> 32])
    return ((a >> 5) * 2**26 + (b >> 6)) / 2**53


def test_philox_gives_the_numbers_of_its_authors() -> None:
    """The known answers of Random123."""
    digits = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0]
    known = [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
    assert philox(digits[:4], digits[4:]) == known
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@pytest.mark.parametrize(("cell", "options"), CELLS, ids=["tanh", "relu", "lstm", "gru"])
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9)])
def test_a_seed_gives_the_text_that_numpys_logits_give(
    page: Page, tmp_path: Path, cell: str, options: dict[str, Any], temperature: float, top_p: float
) -> None:
    checkpoint = random_checkpoint(LETTERS, cell, hidden_size=48, num_layers=2, **options)
    open_page(page, tmp_path, checkpoint, "float32", "What ")
    seed = 2**40 + 12345
    page.run(f"at('seed').value = {seed}; at('length').value = 400")
    page.run(f"at('temperature').value = {temperature}; at('top-p').value = {top_p}")
    written = press_write(page)
    assert len(written) == 400
    logits = numpys(checkpoint, "What " + written)
    came = checkpoint.vocabulary.encode("What " + written)
    near = 0
    for place in range(5, len(came)):
        o = logits[place]
        p = np.exp((o - o.max()) / temperature)
        p /= p.sum()
        order = np.argsort(-o, kind="stable")
        before = np.cumsum(p[order]) - p[order]
        p[order[before >= top_p]] = 0
        p /= p.sum()
        edges = np.concatenate([[0], np.cumsum(p)])
        wanted = share(seed, 0, place)
        drawn = int(np.searchsorted(edges, wanted, side="right")) - 1
        if drawn != came[place]:  # only if the draw is as good as on the edge between the two
            near += 1
            lower, upper = edges[came[place]], edges[came[place] + 1]
            assert lower - 1e-5 < wanted < upper + 1e-5
    assert near <= 1


def test_a_text_depends_on_its_seed_and_not_on_how_it_is_written(
    page: Page, tmp_path: Path
) -> None:
    open_page(page, tmp_path, random_checkpoint(LETTERS, "gru", hidden_size=24), text="To be")
    written = press_write(page)
    assert len(written) == 30
    page.click("#undo")
    settled(page)
    assert text_of(page) == "To be"
    page.run("at('length').value = 10")
    pieces = [press_write(page) for _ in range(3)]
    assert "".join(pieces) == written
    page.click("#again")
    settled(page)
    assert page.run("at('seed').value") == "2"
    assert text_of(page).startswith("To be" + written[:20])
    assert text_of(page) != "To be" + written
    open_page(page, tmp_path, random_checkpoint(LETTERS, "gru", hidden_size=24), text="To be")
    assert press_write(page) == written
