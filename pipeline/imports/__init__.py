"""History from other monitors: what they watched and what they found, in our words, with a report of what was lost.

Each module reads one kind of file and knows nothing of the store; `pipeline.store.imports` puts a `Foreign` in.
"""
