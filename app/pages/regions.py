"""Which of 5 000? Paged, searched, filtered and sorted by the store; the URL holds what is wanted."""

from __future__ import annotations

import streamlit as st

st.title("Sites")
