"""Start of the program `rensei-platform`."""

from rensei_platform.cli.garbage import collect_seldom
from rensei_platform.cli.main import main as run_command


def main() -> None:
    """Run a command, and end with its exit code."""
    collect_seldom()
    run_command()


if __name__ == "__main__":
    main()
