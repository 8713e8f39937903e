"""A text area that is read while somebody types or pastes, not only once they leave it.

Streamlit's text input can do so (`live=True`), its text area cannot yet. It commits on Ctrl+Enter, so that is pressed
for them after a pause in typing, and right after a paste. Without this script everything works, one click later.
"""

from __future__ import annotations

import streamlit as st

# No data comes in here.
_SCRIPT = """
<script>
if (!window.workbenchEager) {
  window.workbenchEager = true;
  let timer;
  document.addEventListener("input", (event) => {
    const area = event.target;
    if (!(area instanceof HTMLTextAreaElement) || !area.closest('[class*="st-key-eager-"]')) return;
    clearTimeout(timer);
    timer = setTimeout(
      () => area.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, bubbles: true })),
      event.inputType === "insertFromPaste" ? 50 : 600,
    );
  });
}
</script>
"""


def text_area(label: str, *, key: str, height: int, placeholder: str) -> str:
    """A text area whose text is known a moment after it was typed."""
    with st.container(key=f"eager-{key}", gap=None):
        text = st.text_area(label, key=key, height=height, placeholder=placeholder)
        st.html(_SCRIPT, width="content", unsafe_allow_javascript=True)
    return text or ""
