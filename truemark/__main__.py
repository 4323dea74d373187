"""`python -m truemark` is the `truemark` command."""

from truemark.cli import main

if __name__ == "__main__":
    main()
