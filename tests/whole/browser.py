"""The report in a real browser. `make test-browser` runs it; `make test` does not."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.chromium import Page
from tests.helpers.pages import HOSTILE, assert_contrast, assert_readable, complaints, requests
from tests.helpers.texts import english

NAME = "<b onclick=alert(1)>&amp;{{ 7 * 7 }}.npz"


@pytest.fixture(scope="module", params=[1, 3], ids=["1 layer", "3 layers"])
def report(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A report whose text and name contain hostile markup."""
    folder = tmp_path_factory.mktemp("report")
    text = (HOSTILE + english(400)) * 40
    (folder / "text.txt").write_text(text, encoding="utf-8")
    train = ["train", "--data", "text.txt", "--out", NAME, "--max-steps", "100", "--seed", "1"]
    train += ["--set", "model.hidden_size=32", "--set", f"model.num_layers={request.param}"]
    train += ["--set", "training.log_every=10", "--quiet"]
    shown = ["report", "--ckpt", NAME, "-o", "report.html", "--data", "text.txt", "--n", "5000"]
    subprocess.run([sys.executable, "-m", "charnn", *train], cwd=folder, check=True)
    with (folder / NAME).with_suffix(".jsonl").open("a") as log:
        log.write('{"rollback": 1, "step": 50}\n')
    subprocess.run([sys.executable, "-m", "charnn", *shown], cwd=folder, check=True)
    assert (folder / "report.html").stat().st_size < 2_000_000
    return folder / "report.html"


@pytest.fixture
def page(report: Path) -> Iterator[Page]:
    with Page() as page:
        page.resize(1400, 900)
        page.open(report)
        yield page
        assert not complaints(page)
        assert requests(page) == [report.resolve().as_uri()]


def inspected(report: Path, view: str, *options: str) -> list[dict[str, Any]]:
    """Return what `charnn inspect` prints of the text of a report."""
    command = [sys.executable, "-m", "charnn", "inspect", "--ckpt", NAME, "--data", "text.txt"]
    command += ["--view", view, "--json", *options]
    printed = subprocess.check_output(command, cwd=report.parent, stderr=subprocess.DEVNULL)
    rows: list[dict[str, Any]] = json.loads(printed)[view]
    return rows


def panel(page: Page) -> str:
    return str(page.run("document.getElementById('panel').innerText"))


def backgrounds(page: Page) -> list[str]:
    return list(page.run("spans.map(span => getComputedStyle(span).backgroundColor)"))


def test_hostile_text_stays_text(page: Page, report: Path) -> None:
    assert page.run("window.hacked") is None
    assert page.run("document.querySelectorAll('img, b[onclick]').length") == 0
    assert page.run("document.querySelector('h1').textContent") == NAME
    text = (report.parent / "text.txt").read_text(encoding="utf-8")[:5000]
    assert page.run("characters.join('')") == text
    assert page.run("spans.length") == 5000
    seen = page.run("document.getElementById('text').innerText")
    assert "</script><script>window.hacked = 1</script><img src=x" in seen
    assert "U+0007 U+202E" in seen
    assert "漢字 🙂" in seen


def test_pointing_shows_the_expectation_that_the_command_prints(page: Page, report: Path) -> None:
    rows_printed = inspected(report, "expectation", "--n", "200")
    for place in (3, 120):
        page.point(f"#text > span:nth-child({place + 1})")
        row = rows_printed[place]
        shown = panel(page)
        assert f"{row['bits']:.2f} bits" in shown
        for number in range(1, 6):
            p = row[f"probability_{number}"]
            assert f"{p:.0%}".replace("%", " %") in shown or p < 0.0995
        rows = page.run("document.querySelectorAll('#panel tr').length")
        assert rows == (5 if row["rank"] <= 5 else 6)
        true = page.run("document.querySelector('#panel .true .mono').textContent")
        assert true == {" ": "␣", "\n": "↵"}.get(row["character"], row["character"])


def test_arrow_keys_move(page: Page) -> None:
    page.run("document.getElementById('text').focus()")
    before = page.run("here")
    page.press("ArrowRight")
    page.press("ArrowRight")
    page.press("ArrowLeft")
    assert page.run("here") == before + 1
    assert f"character {before + 2}," in panel(page)
    page.press("ArrowDown")
    below = page.run("here")
    assert page.run(
        f"spans[{below}].getBoundingClientRect().top > spans[{before}].getBoundingClientRect().top"
    )
    page.press("ArrowUp")
    assert page.run("here") == before + 1
    page.press("End")
    assert page.run("characters[here]") == "\n"
    page.press("Home")
    assert page.run("here") == 0
    page.press("ArrowLeft")
    assert page.run("here") == 0
    assert page.run("document.getElementById('spoken').textContent").startswith("<, the first")


def test_choosing_a_unit_recolours_the_text(page: Page) -> None:
    surprise = backgrounds(page)
    assert len(set(surprise)) > 20
    page.run("document.getElementById('colour').focus()")
    page.press("ArrowDown")
    page.press("Enter")
    assert page.run("choice.value") == "0"
    unit = backgrounds(page)
    assert sum(one != other for one, other in zip(surprise, unit, strict=True)) > 4000
    assert "follows: " in page.run("document.getElementById('about').textContent")
    assert "unit " in panel(page)
    assert page.run("choice.options.length") == 22
    page.run("choice.value = '5'; choice.dispatchEvent(new Event('change'))")
    assert backgrounds(page) != unit
    page.run("choice.value = ''; choice.dispatchEvent(new Event('change'))")
    assert backgrounds(page) == surprise


def test_origins_colour_what_mattered_to_the_character_pointed_at(page: Page, report: Path) -> None:
    norms = [row["gradient"] for row in inspected(report, "origins", "--place", "300")][:40]
    page.run("choice.value = 'origins'; choice.dispatchEvent(new Event('change'))")
    page.run("go(300, true)")
    shares = page.run("Array.from(origins.slice(300 * data.back, 301 * data.back))")
    assert shares == pytest.approx([255 * norm / max(norms) for norm in norms], abs=0.51)
    coloured = [k for k, colour in enumerate(backgrounds(page)) if "0)" not in colour[-4:]]
    assert set(coloured) <= set(range(260, 300))
    assert len(coloured) > 5
    page.run("go(800, true)")
    assert all("0)" in colour[-4:] for colour in backgrounds(page)[:700])
    assert "mattered" in page.run("document.getElementById('about').textContent")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_readable(page: Page, width: int, scheme: str) -> None:
    page.resize(width, 900)
    page.prefer(scheme)
    assert_readable(page, width)
    for unit in ("", "0", "7"):
        page.run(f"choice.value = '{unit}'; choice.dispatchEvent(new Event('change'))")
        assert_contrast(page)
    assert page.run("document.querySelectorAll('svg[role=img]').length") == 6
    words = page.run(
        "Array.from(document.querySelectorAll('#charts text'), text => text.textContent)"
    )
    assert words.count("rollback") == 5


def test_a_run_without_a_log_and_without_javascript_says_so(report: Path) -> None:
    (report.parent / "alone.npz").write_bytes((report.parent / NAME).read_bytes())
    shown = ["report", "--ckpt", "alone.npz", "-o", "alone.html", "--overwrite"]
    subprocess.run([sys.executable, "-m", "charnn", *shown], cwd=report.parent, check=True)
    with Page() as page:
        page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.open(report.parent / "alone.html")
        seen = page.run("document.body.innerText")
        assert "No log alone.jsonl beside the checkpoint" in seen
        assert "This view needs JavaScript" in seen
        assert not complaints(page)
