"""The page that runs a model, in a real browser. `make test-browser` runs these tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.insight.live import Precision, live_page
from charnn.network.loss import log_softmax
from charnn.network.network import Reader
from charnn.sampling import Sampling, probabilities
from charnn.showing import BOUNDARY
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
    """The browser, which must report no error and request only the page and its worker."""
    browser.events.clear()
    yield browser
    assert not complaints(browser)
    others = [url for url in requests(browser) if not url.startswith("blob:")]
    assert all(url.startswith("file:") and url.endswith("/live.html") for url in others)


def open_page(
    page: Page, folder: Path, checkpoint: Checkpoint, dtype: Precision = "float16", text: str = ""
) -> None:
    """Open the page of a model and type a text."""
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
    page.wait("!writing && places.length === text.length + 1")


def text_of(page: Page) -> str:
    return str(page.run("text.join('')"))


def press_write(page: Page) -> str:
    """Let the model continue; return what it wrote."""
    before = text_of(page)
    page.press("Enter", control=True)
    settled(page)
    after = text_of(page)
    assert after.startswith(before)
    return after[len(before) :]


def numpys(checkpoint: Checkpoint, text: str) -> NDArray[np.float64]:
    """Return NumPy's logits at each place of a text, (N + 1, K)."""
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
    """Run the worker's script in the page itself, where a test can call it."""
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
    """Random123 publishes these known answers."""
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
        p = probabilities(logits[place : place + 1], Sampling(temperature, top_p=top_p))[0]
        edges = np.concatenate([[0], np.cumsum(p)])
        wanted = share(seed, 0, place)
        drawn = int(np.searchsorted(edges, wanted, side="right")) - 1
        if drawn != came[place]:  # allowed only if the draw is almost on the edge between the two
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


# --- writing -------------------------------------------------------------------------------------


def panel(page: Page) -> str:
    return str(page.run("document.getElementById('panel').innerText"))


def test_undo_and_redo_go_back_and_forth(page: Page, tmp_path: Path) -> None:
    open_page(page, tmp_path, random_checkpoint(LETTERS, hidden_size=16))
    texts = [""]
    for act in (lambda: page.type("To be"), lambda: press_write(page), lambda: page.type("!")):
        act()
        settled(page)
        texts.append(text_of(page))
        page.run("changed = 0")  # as if a second had passed: typing begins a new undo step
    for expected in reversed(texts[:-1]):
        page.press("z", control=True)
        settled(page)
        assert text_of(page) == page.run("field.value") == expected
    assert page.run("at('undo').disabled")
    for expected in texts[1:]:
        page.press("y", control=True)
        settled(page)
        assert text_of(page) == expected
    page.click("#clear")
    settled(page)
    assert text_of(page) == ""
    page.click("#undo")
    settled(page)
    assert text_of(page) == texts[-1]


def test_expectations_are_those_of_numpy_and_can_be_picked(page: Page, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(LETTERS, "lstm", hidden_size=16)
    open_page(page, tmp_path, checkpoint, "float32", "Now we")
    y = np.exp(log_softmax(numpys(checkpoint, "Now we")))
    likeliest = np.argsort(-y[-1])[:9]
    rows = page.run("Array.from(document.querySelectorAll('.pick'), row => row.textContent)")
    shown = [checkpoint.vocabulary.characters[k] for k in likeliest]
    assert rows == [{" ": "␣", "\n": "↵"}.get(character, character) for character in shown]
    page.click("tr:nth-child(4) .pick")  # the caption is the first child
    settled(page)
    assert text_of(page) == page.run("field.value") == "Now we" + shown[2]
    page.press("1", alt=True)
    settled(page)
    second = numpys(checkpoint, "Now we" + shown[2])[-1].argmax()
    best = checkpoint.vocabulary.characters[second]
    assert text_of(page) == "Now we" + shown[2] + best
    page.press("Home")
    page.press("ArrowRight")
    page.wait("here === 1")
    bits = -np.log2(y[1][checkpoint.vocabulary.encode("o")[0]])
    assert f"{bits:.2f} bits" in panel(page)
    picked = page.run("characters[places[1].likeliest[3]]")
    page.press("4", alt=True)
    settled(page)
    assert text_of(page) == "N" + picked


def test_the_keyboard_alone_is_enough(page: Page, tmp_path: Path) -> None:
    open_page(page, tmp_path, random_checkpoint(LETTERS, hidden_size=16), text="A")
    page.run("at('pace').value = 40; at('length').value = 4000")
    page.press("Enter", control=True)
    page.wait("text.length > 5 && writing")
    assert page.run("at('continue').textContent") == "Stop"
    page.press("Escape")
    settled(page)
    length = len(text_of(page))
    assert 5 < length < 4000
    visited = []
    for _ in range(60):
        page.press("Tab")
        visited.append(page.run("document.activeElement.id || document.activeElement.textContent"))
    needed = {"continue", "again", "several", "undo", "clear", "colour", "temperature", "top-p"}
    assert needed | {"length", "seed", "count", "pace", "text"} <= set(visited)
    while page.run("document.activeElement.id") != "undo":
        page.press("Tab")
    page.press("Enter")
    settled(page)
    assert text_of(page) == "A"
    page.run("at('length').value = 20")
    while page.run("document.activeElement.id") != "several":
        page.press("Tab")
    page.press("Enter")
    page.wait("!writing && ways.length === 4")
    second = page.run("ways[1].found.join('')")
    while page.run("document.activeElement.textContent") != "Choose 2":
        page.press("Tab")
    page.press("Enter")
    settled(page)
    assert text_of(page) == "A" + second
    assert page.run("document.activeElement.id") == "text"
    assert page.run("at('ways').hidden")


def test_several_continuations_differ_and_the_first_is_that_of_continue(
    page: Page, tmp_path: Path
) -> None:
    checkpoint = random_checkpoint(LETTERS, "gru", hidden_size=16)
    open_page(page, tmp_path, checkpoint, text="It is ")
    page.run("at('count').value = 6")
    page.click("#several")
    page.wait("!writing && ways.length === 6")
    found = page.run("ways.map(way => way.found.join(''))")
    assert len(set(found)) == 6
    assert {len(way) for way in found} == {30}
    assert press_write(page) == found[0]
    assert page.run("at('ways').hidden")


def test_typing_stops_the_model_and_is_read_again_from_there(page: Page, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(LETTERS, "lstm", hidden_size=16)
    open_page(page, tmp_path, checkpoint, "float32", "Never " * 40)
    page.run("at('pace').value = 40; at('length').value = 4000")
    page.press("Enter", control=True)
    page.wait("text.length > 245")
    page.type("X")
    settled(page)
    text = text_of(page)
    assert text.endswith("X")
    page.run("field.setSelectionRange(100, 130)")
    page.type("y")
    settled(page)
    text = text[:100] + "y" + text[130:]
    assert text_of(page) == page.run("field.value") == text
    assert page.run("Array.from(at('spans').children, span => span.textContent).join('')") == text
    y = log_softmax(numpys(checkpoint, text))
    bits = -y[np.arange(len(text)), checkpoint.vocabulary.encode(text)] / np.log(2)
    found = page.run("places.slice(0, text.length).map(place => place.bits)")
    assert found == pytest.approx(bits, abs=1e-4)


def test_a_unit_and_its_gates_are_those_of_numpy(page: Page, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(LETTERS, "gru", hidden_size=16, num_layers=2)
    open_page(page, tmp_path, checkpoint, "float32", "Whether it is nobler")
    before = page.run("spans.map(span => span.style.backgroundColor)")
    page.run("choice.value = 3; choice.dispatchEvent(new Event('change'))")
    page.run("at('layer').value = 0; at('index').value = 5")
    page.run("at('index').dispatchEvent(new Event('change'))")
    settled(page)
    assert page.run("spans.map(span => span.style.backgroundColor)") != before
    model = checkpoint.model
    ids = checkpoint.vocabulary.encode("\nWhether it is nobler")
    reader = Reader(model, len(ids), 1, keep_gates=True)
    reader.read(ids[:, None].astype(np.intp), model.zero_state())
    found = np.array(page.run("places.slice(0, text.length).map(place => place.unit)"))
    gates = reader.layers[0].gates
    assert gates is not None
    assert found[:, 0] == pytest.approx(reader.states[0, 2:, 0, 5], abs=1e-5)
    for gate in range(3):
        assert found[:, 1 + gate] == pytest.approx(gates[gate, 1:, 0, 5], abs=1e-5)
    assert "unit 0:5 after the last character" in panel(page)
    page.point("#spans > span:nth-child(4)")
    words = panel(page)
    assert all(name in words for name in ("reset", "update", "new", "activation", "unit 0:5"))
    assert f"{found[3, 1]:.2f}" in words


def test_documents_begin_at_their_boundary_and_end_where_it_is_drawn(
    page: Page, tmp_path: Path
) -> None:
    checkpoint = random_checkpoint("abcdefgh", documents=True, hidden_size=16)
    open_page(page, tmp_path, checkpoint, "float32")
    page.run("at('length').value = 5000; at('seed').value = 3")
    written = press_write(page)
    assert page.run("ended")
    assert set(written) <= set("abcdefgh")
    assert not page.run("at('end').hidden")
    assert "ended" in page.run("at('status').textContent")
    logits = numpys(checkpoint, written)
    end = checkpoint.vocabulary.encode(BOUNDARY)[0]
    edges = np.concatenate([[0], np.cumsum(probabilities(logits[-1:], Sampling(0.8))[0])])
    assert edges[end] - 1e-5 < share(3, 0, len(written)) < edges[end + 1] + 1e-5
    page.press("Enter", control=True)
    assert "has ended" in page.run("at('status').textContent")
    assert text_of(page) == written
    page.type("a")
    settled(page)
    assert not page.run("ended")
    page.run("pick(boundary)")
    settled(page)
    assert page.run("ended")
    page.press("z", control=True)
    settled(page)
    assert not page.run("ended")


# --- every text stays text -----------------------------------------------------------------------


def test_hostile_text_stays_text(page: Page, tmp_path: Path) -> None:
    strange = HOSTILE + "\u2028\u2029\u202d\u2066\x00\r\ufeff\u200d␍\ue000"
    checkpoint = random_checkpoint(strange, hidden_size=24)
    open_page(page, tmp_path, checkpoint)
    assert page.run("characters.join('')") == checkpoint.vocabulary.characters
    page.type(HOSTILE)
    settled(page)
    assert text_of(page) == HOSTILE
    page.run("at('temperature').value = 2; at('length').value = 1500")
    written = press_write(page)
    assert set(written) <= set(strange)
    assert len(set(written)) > 40
    assert page.run("written().join('')") == HOSTILE + written
    shown = page.run("field.value")
    assert not set("\x00\r\x07\u2028\u2029\u202d\u202e\u2066\ufeff") & set(shown)
    page.click("#several")
    page.wait("!writing && ways.length === 4")
    assert page.run("window.hacked") is None
    assert page.run("document.querySelectorAll('img, i:not(#ramp), main script').length") == 0
    assert page.run("document.querySelector('h1').textContent") == "<i>{{ 7 * 7 }}.npz"


def test_unknown_characters_are_marked_and_not_read(page: Page, tmp_path: Path) -> None:
    checkpoint = random_checkpoint("\nabc漢🙂", hidden_size=16)
    open_page(page, tmp_path, checkpoint, "float32")
    page.run("field.value = 'aßb🙃c\\u202e漢\\ud83d🙂'")
    page.run("field.dispatchEvent(new Event('input'))")
    settled(page)
    assert text_of(page) == page.run("field.value") == "aßb🙃c漢🙂"
    assert "does not know ß 🙃" in page.run("at('status').textContent")
    assert page.run("document.querySelectorAll('.unknown').length") == 2
    y = log_softmax(numpys(checkpoint, "abc漢🙂"))
    bits = -y[np.arange(5), checkpoint.vocabulary.encode("abc漢🙂")] / np.log(2)
    found = page.run("places.filter(place => place.bits !== undefined).map(place => place.bits)")
    assert found == pytest.approx(bits, abs=1e-4)


def test_scripts_from_elsewhere_and_requests_are_refused(tmp_path: Path) -> None:
    with Page() as page:
        open_page(page, tmp_path, random_checkpoint(LETTERS, hidden_size=8))
        page.run("""document.body.append(Object.assign(document.createElement("script"),
          {textContent: "window.hacked = 1"}))""")
        assert page.run("window.hacked") is None
        refused = "fetch('https://example.invalid/').then(() => 'sent', () => 'refused')"
        assert page.run(refused) == "refused"
        said = [event["params"]["entry"]["text"] for event in complaints(page)]
        assert len(said) >= 2
        assert all("Content Security Policy" in text for text in said)


# --- for every reader ----------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_readable(page: Page, tmp_path: Path, width: int, scheme: str) -> None:
    page.resize(width, 900)
    page.prefer(scheme)
    open_page(page, tmp_path, random_checkpoint(LETTERS, "lstm", hidden_size=24), text="One\n" * 9)
    press_write(page)
    page.click("#several")
    page.wait("!writing && ways.length === 4")
    page.run("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    # The mirror's letters are transparent: the field above it shows them, in its own colour.
    page.run("at('mirror').style.color = getComputedStyle(field).color")
    for part in range(7):
        page.run(f"choice.value = {part}; choice.dispatchEvent(new Event('change'))")
        assert_readable(page, width)
        assert_contrast(page)
    page.resize(1400, 900)
    page.prefer("light")


@pytest.mark.parametrize("width", [400, 1400])
def test_the_colours_lie_behind_their_letters(page: Page, tmp_path: Path, width: int) -> None:
    page.resize(width, 900)
    text = "A line that is long enough to be wrapped in the field. " * 6 + "\n\nB \tc\n" + "x" * 300
    text += "\n" + "床前明月光,疑是地上霜。" * 20 + "\n"
    open_page(page, tmp_path, random_checkpoint(LETTERS + "\t", hidden_size=16), text=text)
    page.run("at('editor').style.minHeight = 0")
    for end in range(len(text) - 240, len(text), 7):  # the last line ends anywhere
        page.run(f"field.value = {text!r}.slice(0, {end})")
        page.run("field.dispatchEvent(new Event('input'))")
        heights = page.run("""(mirror => {
          field.style.height = 0;
          const needed = field.scrollHeight;
          field.style.height = "";
          return [needed, mirror.clientHeight, field.clientWidth, mirror.clientWidth];
        })(at("mirror"))""")
        assert heights[0] == heights[1] == page.run("field.clientHeight")
        assert heights[2] == heights[3]
    page.resize(1400, 900)


def test_a_model_that_overflows_says_so(page: Page, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(LETTERS, activation="relu", hidden_size=8)
    checkpoint.model.parameters["W0"][...] = 1e30
    checkpoint.model.parameters["b0"][...] = 1
    path = tmp_path / "live.html"
    path.write_text(live_page(checkpoint, "a", "float32"), encoding="utf-8")
    page.open(path)
    page.type("What light through yonder window breaks")
    page.wait("at('status').textContent === 'Error: the model overflows here.'")


def test_every_control_has_a_name_and_news_are_announced(page: Page, tmp_path: Path) -> None:
    open_page(page, tmp_path, random_checkpoint(LETTERS, hidden_size=16), text="So")
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    controls = ("button", "combobox", "slider", "spinbutton", "textbox")
    named = [
        (node["role"]["value"], node["name"]["value"])
        for node in tree
        if node.get("role", {}).get("value") in controls and not node["ignored"]
    ]
    assert len(named) > 20
    assert [role for role, name in named if not name.strip()] == []
    assert ("textbox", "Text") in named
    assert page.run("at('status').getAttribute('role')") == "status"
    page.press("ArrowLeft")
    page.wait("at('spoken').textContent.startsWith('o, ')")
    assert "expected" in page.run("at('spoken').textContent")


def test_without_javascript_the_page_says_so(tmp_path: Path) -> None:
    path = tmp_path / "live.html"
    path.write_text(live_page(random_checkpoint("ab\n", hidden_size=3), "a", "float16"))
    with Page() as page:
        page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.open(path)
        assert "The model needs JavaScript" in page.run("document.body.innerText")
        assert not complaints(page)
