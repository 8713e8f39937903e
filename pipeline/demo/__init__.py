"""Ninety days of somebody else's sites, the same on every machine: what the workbench looks like when it has lived.

`cast` says who is watched from where, `stories` what happened to them and when, `history` turns both into ticks. All
pure: the end of the ninety days is an argument. `pipeline.store.demo` puts them in and takes them out again.
"""
