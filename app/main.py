"""Navigation only: which pages there are, and the frame around them."""

from __future__ import annotations

import streamlit as st

from app import frozen, theme
from app.components import flash, tab
from app.components.boundary import explained

st.set_page_config(page_title="BetterStack Workbench", page_icon="📡", layout="wide", initial_sidebar_state=210)
st.html(theme.CSS)
st.logo(theme.LOGO, size="large")
pages = [
    st.Page("pages/now.py", title="Now", icon=":material/monitoring:", default=True),
    st.Page("pages/sites.py", title="Sites", icon=":material/language:", url_path="sites"),
    st.Page("pages/regions.py", title="Regions", icon=":material/public:", url_path="regions"),
    st.Page("pages/health.py", title="Health", icon=":material/ecg_heart:", url_path="health"),
    st.Page("pages/site.py", title="Site", url_path="site", visibility="hidden"),
]
page = st.navigation(pages)
tab.says(page.title)
flash.show()
with explained():
    page.run()
frozen.libraries()
