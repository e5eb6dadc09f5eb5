"""The daemon, for which a minute between two lookups of the platform's name is a second.

Run as `python -m rig.quick_moves run`.
"""

from rensei_daemon.cli.main import main
from rensei_daemon.platform_api.moved_peer import MovedPeerDetector

FASTER = 60.0

if __name__ == "__main__":
    MovedPeerDetector.look_seconds /= FASTER
    MovedPeerDetector.moved_after_seconds /= FASTER
    # The defaults of the generated constructor stand apart from the class's attributes.
    made = MovedPeerDetector.__init__
    *others, look, moved = made.__defaults__ or ()
    made.__defaults__ = (*others, look / FASTER, moved / FASTER)
    main(["run"])
