"""`python -m ui` is the `maskgroup` program."""

from ui.cli import main

if __name__ == "__main__":
    main()
