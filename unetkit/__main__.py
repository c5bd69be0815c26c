"""`python -m unetkit` is the same as `unetkit`."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from contextlib import suppress
from typing import NoReturn

from unetkit.foundation.signals import Signals


def run() -> NoReturn:
    """Run the command line and end the process with its exit code.

    When a run was stopped, a thread may still be in native code, with a window that takes the network a while. An
    interpreter that ends under it crashes, so the process then ends at once instead; as it does after a signal, since
    taking all modules apart lasts seconds.
    """
    signals = Signals()
    signals.listen()
    try:
        from unetkit.cli import main  # here, since it takes a while and a signal may come meanwhile

        code = main()
    except KeyboardInterrupt:
        code = signals.exit_code()
    except Exception:  # a fault of unetkit: shown as Python would, and ended as below
        traceback.print_exc()
        code = 1
    signals.close()
    if code == 130:  # what `main` says whatever the signal was
        code = signals.exit_code()
    if signals.first is not None or any(
        thread.daemon and thread.name.startswith("unetkit-") for thread in threading.enumerate()
    ):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
