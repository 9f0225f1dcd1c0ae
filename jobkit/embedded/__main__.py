"""``python -m jobkit.embedded``: a private Redis in the foreground."""

from __future__ import annotations

import sys
import time

from jobkit.embedded import EmbeddedRedis
from jobkit.errors import EmbeddedServerError


def main() -> int:
    """Print the URL on standard output and stay until Ctrl-C, or until the server ends; returns the exit code."""
    try:
        with EmbeddedRedis() as server:
            print(server.url, flush=True)
            print(f"{server.flavour}, process {server.pid}. Ctrl-C stops it; its data goes with it.", file=sys.stderr)
            while server.alive:
                time.sleep(1)
    except KeyboardInterrupt:
        return 0
    except EmbeddedServerError as error:
        print(error, file=sys.stderr)
        return 1
    print("the server has ended", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
