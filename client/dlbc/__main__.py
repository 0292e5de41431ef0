"""`python -m dlbc`: the same as the `dlbc` command."""

from dlbc.cli.main import entry

if __name__ == "__main__":
    entry()
