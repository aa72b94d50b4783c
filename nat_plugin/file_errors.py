"""One sentence, with the remedy, for a file that the system refuses."""

from __future__ import annotations

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # clusters have quotas, and shells limits, where disks have room
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_MISPLACED = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


def explain_file_error(error: OSError) -> str:
    """What is wrong with which file, and what to do.

    Args:
        error: as Python raises it for an operation of the system; without ``strerror`` it is its text alone.
    """
    if not error.strerror:
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in _FULL:
        return (
            f"{where}no space is left ({error.strerror}); free some, or raise the limit, and run the same command "
            "again: what is finished is kept."
        )
    if error.errno in _FORBIDDEN:
        return f"{where}{error.strerror}; mend the permissions, or name another place."
    if error.errno in _MISPLACED:
        return f"{where}{error.strerror}; correct the path."
    return f"{where}{error.strerror}."
