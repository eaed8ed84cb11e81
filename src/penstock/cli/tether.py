"""Ends this process when the one that started it dies, however it dies: no orphan is ever left.

The supervisor names itself in the environment of each child. The child asks the kernel to kill it when its parent
ends, then looks whether the parent had gone already in the meantime. Nothing runs between fork and exec, so this is
safe beside threads, and it needs no agreement with what the child does afterwards.

Sources: prctl(2), PR_SET_PDEATHSIG. The signal follows the *thread* that started the child, so a supervisor starts
its children from its main thread.
"""

import ctypes
import os
import signal
import sys

TETHER_VARIABLE = "PENSTOCK_TETHER"  # the supervisor's process id
_PR_SET_PDEATHSIG = 1


def tether_to_parent() -> None:
    """Tie this process to the supervisor named in the environment, if there is one. Linux only; else does nothing."""
    parent = os.environ.pop(TETHER_VARIABLE, "")
    if not parent.isdigit() or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)
