"""`python -m waferroute.cli` is the `waferroute` command; `accelerate launch` starts it so."""

from waferroute.cli.start import main

if __name__ == "__main__":
    raise SystemExit(main())
