"""`python -m local`: see ``run.py``."""

import signal
import sys


def main() -> int:
    """Run Lectern; a Ctrl-C during the imports ends the process without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from local import run

    return run.main()


if __name__ == "__main__":
    sys.exit(main())
