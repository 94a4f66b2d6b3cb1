# SPDX-License-Identifier: Apache-2.0
"""
What kind of file system a path is on.

Memory-mapped databases and SQLite's WAL need one kernel that sees every access. Over a network, and
between a virtual machine and its host, there are two, and the file comes out corrupt.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_MOUNTS: Final = "/proc/self/mountinfo"

_REMOTE: Final = frozenset({
    "9p", "acfs", "afp", "afpfs", "afs", "auristorfs", "autofs", "beegfs", "ceph", "cifs", "coda",
    "cvfs", "davfs", "fhgfs", "gfs2", "glusterfs", "gpfs", "juicefs", "lustre", "mfs", "ncp",
    "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "quobyte", "s3fs",
    "smb3", "smbfs", "snfs", "vboxsf", "virtiofs", "vmhgfs", "webdav", "wekafs",
})  # fmt: skip
# FUSE is sshfs, S3 buckets, studio storage; taken for remote unless known to sit on a local disk.
_LOCAL_FUSE: Final = frozenset({
    "bindfs", "cryfs", "encfs", "ext2", "ext4", "fuse-overlayfs", "gocryptfs", "lxcfs", "mergerfs",
    "ntfs", "ntfs-3g", "securefs", "unionfs", "zfs",
})  # fmt: skip


def is_local(path: str | os.PathLike[str], mounts: str = _MOUNTS) -> bool:
    """
    Whether *path*, or its nearest parent that exists, is on a file system of this machine.

    Where the operating system doesn't say (anything but Linux), it is taken for local. *mounts* is
    a file in the format of `/proc/self/mountinfo`.
    """
    return not _is_remote(filesystem_type(path, mounts))


def filesystem_type(path: str | os.PathLike[str], mounts: str = _MOUNTS) -> str:
    """Return the kernel's name for the file system of *path*, or "" when it isn't known."""
    # realpath also resolves the existing part of a path whose end does not exist yet.
    folder = os.path.realpath(path)
    best, found = -1, ""
    for mount_point, kind in _mounted(mounts):
        # Of several mounts on one point, the last one is what is seen.
        if len(mount_point) >= best and _is_under(folder, mount_point):
            best, found = len(mount_point), kind
    return found


def _is_under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _is_remote(kind: str) -> bool:
    if kind.startswith("fuse."):
        return kind.removeprefix("fuse.") not in _LOCAL_FUSE
    return kind in _REMOTE


def _mounted(mounts: str) -> Iterator[tuple[str, str]]:
    """Yield (mount point, file system type); see proc_pid_mountinfo(5)."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except OSError:
        return
    for line in lines:
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if dash and len(fields) > 4:
            yield _unescaped(fields[4]), after.split(" ", 1)[0]


def _unescaped(text: str) -> str:
    """Undo mountinfo's octal escapes: space, tab, newline, backslash."""
    if "\\" not in text:
        return text
    for escape, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, char)
    return text
