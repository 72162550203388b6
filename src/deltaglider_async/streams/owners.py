"""Whether a named file or folder still has an owner, so that what a killed process left can be removed by the next.

Theory of operation. Who creates a thing that must not outlive it locks it (`flock`), for as long as it is used; the
kernel takes the lock away with the process, however that ended. So a thing of our own user that can be locked has no
owner any more. Numbers of processes would not tell: they come again, and mean another process in each container that
shares a folder. Between its creation and its lock a thing looks abandoned; so whoever has just locked what it created
looks whether it is still there, and begins anew if it is not.

Where there are no locks, nothing is ever taken for abandoned. systemd-tmpfiles leaves locked folders alone, too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl


def hold(path: Path, descriptor: int) -> bool:
    """Lock what was just created and is open, until it is closed. False if somebody was faster and is removing it."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # no locks here: nobody else gets one either
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def abandoned(descriptor: int) -> bool:
    """Whether what is open here is our user's and has no owner. It is then held by this descriptor."""
    if sys.platform == "win32" or os.fstat(descriptor).st_uid != os.geteuid():
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
