"""Many objects: plans of typed actions, and their execution with typed events. Prints nothing.

`sources` finds what exists (lazily), `plan` and `sync` decide what is to be done (pure), `schedule` decides what may
start (pure), `transfer` does it and tells what happens, `wire` makes units of work storable. See docs/bulk.md.
"""
