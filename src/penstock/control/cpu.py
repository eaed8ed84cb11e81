"""CPU time that a process has used so far, as Linux counts it. None where it cannot be told."""

import os
from pathlib import Path

_USER_AND_SYSTEM = slice(11, 13)  # utime and stime among the fields after the name: proc(5)


def cpu_time_s(pid: int) -> float | None:
    """Seconds of CPU of one process, its threads included."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return sum(int(ticks) for ticks in fields[_USER_AND_SYSTEM]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
