"""What a person types: each module here has a Typer `app`, named in `workers/cli.py`; heavy imports inside commands."""
