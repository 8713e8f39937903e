"""The pages. Streamlit runs them as scripts; nobody imports them."""
