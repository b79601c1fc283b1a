"""`python -m waferroute` is the `waferroute` command."""

from waferroute.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
