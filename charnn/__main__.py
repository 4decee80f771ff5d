"""`python -m charnn`, the same as `charnn`."""

from charnn.cli import main

if __name__ == "__main__":
    main()
