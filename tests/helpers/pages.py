"""Checks of pages in a browser: a page is readable, makes no requests and keeps text as text."""

from typing import Any

from tests.helpers.chromium import Page

HOSTILE = (
    "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    "<!-- {{ 7 * 7 }} {% raw %} &lt;b&gt; \x07 \u202e \\u0041 `${window.hacked = 1}` 漢字 🙂\n"
)


def complaints(page: Page) -> list[dict[str, Any]]:
    kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    return [event for event in page.events if event["method"] in kinds]


def requests(page: Page) -> list[str]:
    """Return the URLs that the page requested, without its own empty icon."""
    sent = [event for event in page.events if event["method"] == "Network.requestWillBeSent"]
    urls = [event["params"]["request"]["url"] for event in sent]
    return [url for url in urls if not url.startswith("data:")]


# The script returns the lowest WCAG 2 contrast of a text with the blended colours behind it.
_CONTRAST = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const behind = element =>
    element ? [...behind(element.parentElement), getComputedStyle(element).backgroundColor] : [];
  const luminance = colours => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    const [r, g, b] = Array.from(canvas.getImageData(0, 0, 1, 1).data).map(value => {
      value /= 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const known = new Map();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, select")) continue;
    const style = getComputedStyle(element);
    const colours = [...behind(element), element.closest("svg") ? style.fill : style.color];
    const key = colours.join();
    if (known.has(key)) continue;
    const both = [luminance(colours), luminance(colours.slice(0, -1))];
    const contrast = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    known.set(key, [contrast, texts.currentNode.data.trim().slice(0, 30)]);
  }
  return Array.from(known.values()).sort((a, b) => a[0] - b[0])[0];
})()
"""


def assert_contrast(page: Page) -> None:
    """Check that every text has a contrast of at least 4.5."""
    contrast, where = page.run(_CONTRAST)
    assert contrast >= 4.5, where


def assert_readable(page: Page, width: int) -> None:
    """Check that nothing lies beyond the right edge of the window, and no text is tiny."""
    assert page.run("document.documentElement.scrollWidth") <= width
    clipped = """Array.from(document.querySelectorAll("body *")).filter(element =>
      element.checkVisibility() && !element.closest("svg, .unseen")
      && element.getBoundingClientRect().right > innerWidth + 1).length"""
    assert page.run(clipped) == 0
    sizes = """Math.min(...Array.from(document.querySelectorAll("body *"), element =>
      parseFloat(getComputedStyle(element).fontSize)
      * (element.ownerSVGElement?.getScreenCTM().a ?? 1)))"""
    assert page.run(sizes) >= 9
