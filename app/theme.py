"""How the app looks, and how Streamlit is set up for it: in code, so that it is the same wherever it is started from.

Fonts are those that Streamlit brings along; nothing is asked of another host.
"""

from __future__ import annotations

from typing import Any

from streamlit import config
from streamlit.runtime.pages_manager import PagesManager

LIGHT = {
    "primaryColor": "#4f56cf",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f5f6f8",
    "textColor": "#1c1e24",
    "borderColor": "#e4e6eb",
    "linkColor": "#3d44b8",
    "greenColor": "#1f8a5c",
    "redColor": "#cf3f45",
    "orangeColor": "#b86e00",
    "blueColor": "#4f56cf",
    "grayColor": "#7b808c",
    "greenTextColor": "#176b47",
    "redTextColor": "#b3282e",
    "orangeTextColor": "#8f5600",
    "grayTextColor": "#5c616c",
    "greenBackgroundColor": "#e6f5ee",
    "redBackgroundColor": "#fdebeb",
    "orangeBackgroundColor": "#fdf2df",
    "grayBackgroundColor": "#eff0f3",
    "dataframeBorderColor": "#eceef2",
    "dataframeHeaderBackgroundColor": "#f8f9fa",
    "codeBackgroundColor": "#f5f6f8",
    "sidebar.backgroundColor": "#f8f9fa",
    "sidebar.borderColor": "#e9ebef",
}
DARK = {
    "primaryColor": "#8b92ff",
    "backgroundColor": "#101216",
    "secondaryBackgroundColor": "#181b21",
    "textColor": "#e7e9ee",
    "borderColor": "#282c35",
    "linkColor": "#a3a9ff",
    "greenColor": "#3fb984",
    "redColor": "#f0666b",
    "orangeColor": "#e5a23a",
    "blueColor": "#8b92ff",
    "grayColor": "#8d93a1",
    "greenTextColor": "#5fd0a0",
    "redTextColor": "#ff8b8f",
    "orangeTextColor": "#f0b557",
    "grayTextColor": "#9ba1ae",
    "greenBackgroundColor": "#12281f",
    "redBackgroundColor": "#33181b",
    "orangeBackgroundColor": "#302412",
    "grayBackgroundColor": "#1f232b",
    "dataframeBorderColor": "#242831",
    "dataframeHeaderBackgroundColor": "#15181d",
    "codeBackgroundColor": "#181b21",
    "sidebar.backgroundColor": "#14161b",
    "sidebar.borderColor": "#22262e",
}
SHARED = {
    "baseFontSize": 15,
    "baseRadius": "8px",
    "buttonRadius": "7px",
    "headingFontSizes": ["1.55rem", "1.2rem", "1.02rem"],
    "headingFontWeights": [650, 600, 600],
    "metricValueFontSize": "1.7rem",
    "metricValueFontWeight": 600,
    "linkUnderline": False,
    "showWidgetBorder": True,
    "showSidebarBorder": True,
    "paddingTop": "3.2rem",
    "paddingBottom": "4rem",
}
OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",  # what went wrong goes to the log; people read what to do
    "client.showErrorLinks": False,  # they would ask other hosts about it
    **{f"theme.{name}": value for name, value in SHARED.items()},
    **{f"theme.light.{name}": value for name, value in LIGHT.items()},
    **{f"theme.dark.{name}": value for name, value in DARK.items()},
}

LOGO = """
<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24">
<rect x="2" y="14" width="5" height="8" rx="1.5" fill="#6c73e0"/>
<rect x="9.5" y="8" width="5" height="14" rx="1.5" fill="#6c73e0"/>
<rect x="17" y="2" width="5" height="20" rx="1.5" fill="#6c73e0"/>
</svg>
"""
# What the theme has no word for. No data comes in here.
CSS = """
<style>
[data-testid="stMainBlockContainer"] { max-width: 1380px; padding-left: 2.6rem; padding-right: 2.6rem; }
[data-testid="stMetric"] { padding: 0.7rem 0.9rem; }
[data-testid="stMetricLabel"] p { font-size: 0.86rem; }
[data-testid="stCaptionContainer"] p { line-height: 1.35; }
[data-testid="stCaptionContainer"] code { font-size: 0.9em; }
[data-testid="stApp"] button[data-testid="stBaseButton-primary"],
[data-testid="stApp"] button[data-testid="stBaseButton-primaryFormSubmit"] { color: light-dark(#ffffff, #101216); }
[data-testid="stPageLink"] a { padding-left: 0; padding-right: 0; background: transparent; }
[data-testid="stPageLink"] a:hover { background: transparent; text-decoration: underline; }
[data-testid="stElementContainer"][data-stale="true"] { opacity: 1 !important; transition: none !important; }
*:has(> img.stLogo) { display: flex; align-items: center; color: inherit; text-decoration: none; }
*:has(> img.stLogo)::after {
  content: "Workbench"; font-weight: 650; font-size: 1.02rem; margin-left: 0.5rem; letter-spacing: -0.01em;
}
[class*="st-key-sites-"] [data-testid="stElementToolbar"],
.st-key-ticks [data-testid="stElementToolbar"] { display: none; }
@media (min-width: 1000px) {
  /* A long cause breaks within its own column, and how long it lasts stays beside it. */
  [class*="st-key-row-"] { flex-wrap: nowrap; }
  [class*="st-key-row-"] > * { min-width: 0; }
}
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding-left: 1rem; padding-right: 1rem; }
  /* What stands beside each other elsewhere stands below each other here: a line tells where one ends. */
  [class*="st-key-row-"] { border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
  [class*="st-key-row-"] { padding-bottom: 0.5rem; row-gap: 0.1rem; }
  .st-key-actions { column-gap: 0.4rem; row-gap: 0.4rem; }
  .st-key-actions > :first-child { flex-basis: 100%; }
  .st-key-actions button { padding-left: 0.6rem; padding-right: 0.6rem; }
}
</style>
"""


def apply() -> None:
    """Set the options. Call it once, after the `st.App` is made, since that decides where settings are looked for."""
    for name, value in OPTIONS.items():
        config.set_option(name, value)
    # Else a link to /sites, opened before anything else, would run that file alone and list the folder as menu.
    PagesManager.uses_pages_directory = False
