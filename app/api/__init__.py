"""The HTTP API: the pages' functions for programs. `routes` assembles it, `app.asgi` mounts it."""
