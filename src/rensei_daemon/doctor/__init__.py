"""The doctor: what a person would check by hand, checked, with evidence and a fix.

::

    host ─▶ Case ──────▶ families of checks ────────▶ findings ─▶ screen, JSON, bundle
            (looked up    (each in a thread of its
             once)         own, against one clock)

It looks and does not touch: nothing at the platform, and on this host no more than two
files beside the config, swapped and removed.
"""
