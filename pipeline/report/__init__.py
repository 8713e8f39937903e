"""Notebooks as documents: a percent source is run in this process, and what it shows becomes a page or an .ipynb.

`percent` reads the source, `running` runs its cells, `html` and `ipynb` write what came out; `sla` is the report that
somebody asks for by site and month, `figures` its numbers, which the app shows as well.

No kernel is started: of a report we know every cell, and Jupyter's machinery (papermill, nbconvert, a kernel and thirty
packages more) would be there for running our own code in another process. The notebook has papermill's tag
`parameters` all the same, so whoever has papermill runs it with that.
"""
