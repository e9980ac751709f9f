"""The command ``unmix``, as ``python -m unmix`` or as the program that the package installs."""

from __future__ import annotations

import signal
import sys

from . import _unmix


def main() -> int:
    """Run the command line of this process, and return the exit code."""
    # The command has its own way with Ctrl-C, and Python's handler would interrupt this process once it is done.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _unmix.main(["unmix", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
