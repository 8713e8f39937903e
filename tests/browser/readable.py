"""Can a person read it? Asked of the page itself: what sticks out sideways, and which words are too faint or small."""

from __future__ import annotations

from typing import NamedTuple

from playwright.sync_api import Page

SMALLEST_PX = 11.0
FAINTEST = 4.5  # WCAG 2.2, 1.4.3: contrast of text, level AA
FAINTEST_LARGE = 3.0  # from 24 px on

_WIDER = """
() => {
  const boxes = document.querySelectorAll('html, [data-testid=stMain], [data-testid=stMainBlockContainer]');
  const wide = [...boxes].filter(box => box.scrollWidth > innerWidth);
  return wide.map(box => `${box.tagName} ${box.dataset.testid ?? ''}: ${box.scrollWidth} px`);
}
"""
# Contrast as WCAG defines it, over the colours that lie behind a text, the see-through ones blended.
_TEXTS = """
() => {
  const rgba = said => { const [r, g, b, a = 1] = said.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, under) => under.map((value, i) => top[i] * top[3] + value * (1 - top[3]));
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const shown = element => element.checkVisibility({opacityProperty: true, visibilityProperty: true})
    && element.getBoundingClientRect().width > 1;
  const drawn = 'canvas, style, script, [disabled], [data-testid=stIconMaterial]';
  const found = [];
  const walker = document.createTreeWalker(document.querySelector('[data-testid=stMain]'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const words = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
    if (!words || !shown(element) || element.closest(drawn)) continue;
    const style = getComputedStyle(element), under = behind(element);
    const [brighter, darker] = [light(over(rgba(style.color), under)), light(under)].sort((a, b) => b - a);
    found.push([words.slice(0, 60), parseFloat(style.fontSize), (brighter + 0.05) / (darker + 0.05)]);
  }
  return found;
}
"""


class Text(NamedTuple):
    """Words on a page, how large they are, and their contrast to what is behind them (1 to 21)."""

    words: str
    size_px: float
    contrast: float


def wider_than_window(page: Page) -> list[str]:
    """What would have to be scrolled sideways as a whole; a wide table within its own frame is no such thing."""
    found: list[str] = page.evaluate(_WIDER)
    return found


def unreadable(page: Page) -> list[Text]:
    """Texts too small or too faint. Those drawn on a canvas are not asked."""
    texts = [Text(*each) for each in page.evaluate(_TEXTS)]
    assert texts, "the page has no text at all"
    return [text for text in texts if text.size_px < SMALLEST_PX or text.contrast < _faintest(text)]


def _faintest(text: Text) -> float:
    return FAINTEST_LARGE if text.size_px >= 24 else FAINTEST
