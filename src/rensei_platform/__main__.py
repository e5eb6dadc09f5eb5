"""Start of the program `rensei-platform`."""

from rensei_platform.cli.main import main

if __name__ == "__main__":
    main()
