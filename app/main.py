"""Navigation only: which pages there are, and the frame around them."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import frozen, theme
from app.components import demo, flash, kept, tab, ways
from app.components.boundary import explained

st.set_page_config(page_title="BetterStack Workbench", page_icon="📡", layout="wide", initial_sidebar_state=210)
st.html(theme.CSS)
st.logo(theme.LOGO, size="large")
pages = [
    st.Page("pages/now.py", title="Now", icon=":material/monitoring:", default=True),
    st.Page("pages/sites.py", title="Sites", icon=":material/language:", url_path="sites"),
    st.Page("pages/explain.py", title="Explain", icon=":material/troubleshoot:", url_path="explain"),
    st.Page("pages/changes.py", title="Changes", icon=":material/trending_up:", url_path="changes"),
    st.Page("pages/regions.py", title="Regions", icon=":material/public:", url_path="regions"),
    st.Page("pages/slo.py", title="SLO", icon=":material/speed:", url_path="slo"),
    st.Page("pages/reports.py", title="Reports", icon=":material/description:", url_path="reports"),
    st.Page("pages/health.py", title="Health", icon=":material/ecg_heart:", url_path="health"),
    st.Page("pages/site.py", title="Site", url_path="site", visibility="hidden"),
]
if path := ways.astray(st.context.url, {page.url_path for page in pages}):
    pages.append(st.Page(partial(ways.nowhere, path), title="Nowhere", url_path=path, visibility="hidden"))
kept.keep()
page = st.navigation(pages)
tab.says(page.title)
flash.show()
with explained():
    demo.badge()
    page.run()
frozen.libraries()
