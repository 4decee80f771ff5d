"""`charnn report` writes one page with everything inside."""

import json
import re
from pathlib import Path

import pytest

from tests.helpers.commands import train_small
from tests.helpers.in_process import ok_here, refused_here


@pytest.mark.parametrize("name", ["three", "chinese"])
def test_report_is_one_small_file_with_everything_inside(
    inside: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "report.html"
    ok_here("report", "--ckpt", f"{name}.best.npz", "-o", str(out), "--data", f"{name}.txt",
       "--n", "5000", cwd=inside)  # fmt: skip
    page = out.read_text(encoding="utf-8")
    assert len(page.encode()) < 2_000_000
    assert not re.search(r'(src|href)\s*=(?!"data:)|@import|url\(', page)
    data = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    text = (inside / f"{name}.txt").read_text(encoding="utf-8")
    assert data["text"] == text[:5000]
    assert len(data["units"]) == (20 if name == "three" else 16)
    assert data["curves"][0]["title"] == "Loss, nats per character"
    assert len(data["gradients"]) == (3 if name == "three" else 1)
    for words in ("this model", "unigram counts", "bigram counts", "xz", "temperature 0.5",
                  "hidden_size: 16"):  # fmt: skip
        assert words in page
    before = out.read_bytes()
    again = ["report", "--ckpt", f"{name}.best.npz", "-o", str(out)]
    assert refused_here(2, *again, cwd=inside) == f"{out} exists; replace it by --overwrite"
    ok_here(*again, "--data", f"{name}.txt", "--overwrite", cwd=inside)
    assert out.read_bytes() == before


def test_hostile_text_is_escaped_in_the_page(tmp_path: Path) -> None:
    text = "</script><img src=x onerror=alert(1)> {{ 7 * 7 }} &lt; \x07 <!--\n"
    train_small(tmp_path, text * 60, "<b>")
    ok_here("report", "--ckpt", "<b>.npz", "-o", "page.html", "--unit", "0:3", cwd=tmp_path)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "onerror=alert(1)>" not in page
    assert "<h1>&lt;b&gt;.npz</h1>" in page
    assert page.count("</script>") == 2
    assert "\x07" not in page
    assert json.loads(page.split('json">')[1].split("</script>")[0])["units"][0]["name"] == "0:3"
