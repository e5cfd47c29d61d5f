"""`python -m linconv.cli`."""

from linconv.cli import main

if __name__ == "__main__":
    main()
