"""The programs `charnn` and `python -m charnn`."""

import sys


def main() -> None:
    """Run a command. Ctrl-C gives exit code 130, also while Python still imports."""
    try:
        from charnn.commands import app

        app.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
