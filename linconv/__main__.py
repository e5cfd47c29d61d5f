"""`linconv` and `python -m linconv`: the command line, or one line where what it needs is not installed."""

from __future__ import annotations

import sys

from linconv._extras import EXTRAS


def main() -> None:
    """Run the command line, and end with its exit code; 2 where a package of an extra is missing."""
    try:
        from linconv.cli import main as run

        run()
    except ModuleNotFoundError as error:
        if not any(error.name in modules for modules in EXTRAS.values()):
            raise
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
