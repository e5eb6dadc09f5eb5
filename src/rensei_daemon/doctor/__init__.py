"""The doctor: does the checks a person would do by hand, with evidence and a fix.

::

    host ─▶ Context ───▶ groups of checks ─────────▶ results ─▶ screen, JSON, bundle
            (looked up    (each in its own thread,
             once)         with one deadline)

It changes nothing at the platform, and on this host only two temporary files beside the
config, which are exchanged and removed.
"""
