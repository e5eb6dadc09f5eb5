"""The entry point: `rensei-daemon`, or `python -m rensei_daemon`."""

from rensei_daemon.cli.main import main

if __name__ == "__main__":
    main()
