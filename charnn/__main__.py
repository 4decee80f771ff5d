"""`charnn` and `python -m charnn`: an interrupt is an exit code even while Python imports."""

import sys


def main() -> None:
    """Run a command, as `charnn.commands.app.main` does."""
    try:
        from charnn.commands import app

        app.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
