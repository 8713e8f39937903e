"""What people see and call: Streamlit pages and the HTTP API. Knows Postgres, and nothing of Redis or the workers."""
