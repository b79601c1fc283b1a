"""The `waferroute` command line: one file a command.

Each command is a module of this package with two functions: `add(commands)` tells the parser what the command
understands, and `run(args)` does it and returns the exit status. The modules are listed in `commands.py`, in the
order of the help. They import only the standard library, `wafer_data.errors` and `waferroute.cli.arguments` at the
top; what the work itself needs is imported inside `run`, so that the command line starts at once and on a computer
that has nothing of the training side.
"""

from waferroute.cli.start import main

__all__ = ["main"]
