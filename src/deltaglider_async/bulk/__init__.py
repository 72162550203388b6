"""Many objects: plans of typed actions, and their execution with typed events. Prints nothing.

`plan` decides from what exists (pure), `sources` finds what exists (lazily), `schedule` decides what may
start (pure), `transfer` does it and tells what happens.
"""
