"""To another page by the browser's own way, so that *back* is one step.

`st.switch_page` with parameters makes two entries in the browser's history: it first gives the page that one is on the
parameters of the other. A click on a link makes one. Where something is clicked that cannot be a link, such as a
button in a table, the link is drawn and clicked at once; whoever runs no scripts clicks it themselves.
"""

from __future__ import annotations

import streamlit as st

# No data comes in here. The link may be drawn a moment later than this runs.
_CLICK = """
<script>
(function click(looks) {
  const link = document.querySelector(".st-key-leaving a");
  if (link) link.click();
  else if (looks) requestAnimationFrame(() => click(looks - 1));
})(600);
</script>
"""


def to(page: str, *, label: str, **parameters: str) -> None:
    """Go to a page with these parameters in its address."""
    with st.container(key="leaving"):
        st.page_link(page, label=label, query_params=parameters)
    st.html(_CLICK, width="content", unsafe_allow_javascript=True)
