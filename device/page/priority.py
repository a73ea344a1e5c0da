"""How the page's threads stand back behind the loop's."""

from __future__ import annotations

import os
import sys
import threading


def be_nicer(by: int) -> None:
    """Let this thread, and those that it starts, get less of a busy core than the thread that started it."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + by)
