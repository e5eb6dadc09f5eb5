"""Five mutations each of some thousand files, every one spelled another way.

Headers, dotted keys and inline tables are mixed as TOML allows, with comments whose
owners are known. After each mutation the text must mean what a model says, hold every
line that has no part in it, in its order, and take the change back.
Run it alone: `.venv-dev/bin/python tests/soak/edit_in_all_spellings.py`.
"""

import argparse

from rig.edit_trial import try_edits

FILES = 3000


def main() -> None:
    """Try as many files as asked for, from any first seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    for seed in range(given.first, given.first + given.files):
        try_edits(seed)
    print(f"{given.files} files edited, from seed {given.first}")


if __name__ == "__main__":
    main()
