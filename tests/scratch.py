"""Where the tests leave their files: in memory where there is room, else on the disk.

Each of some thousand databases is a file that waits for the disk at every commit, or three hundred
files made and removed: most of the suite's time on a machine whose disk is slow.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 2**30


def find_scratch() -> Path:
    """Return a folder that takes files and runs those that are programs."""
    return MEMORY if _has_room(MEMORY) else Path(tempfile.gettempdir())


def _has_room(folder: Path) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    runs_programs = not found.f_flag & os.ST_NOEXEC
    is_ours = os.access(folder, os.W_OK | os.X_OK)
    return runs_programs and is_ours and found.f_bavail * found.f_frsize >= ROOM_BYTES
