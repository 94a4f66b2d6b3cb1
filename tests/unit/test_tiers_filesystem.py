# SPDX-License-Identifier: Apache-2.0
"""Which file systems are this machine's own."""

import pytest

from bifrost.tiers.filesystem import filesystem_type, is_local

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:5 / /dev rw - devtmpfs udev rw
40 22 0:40 / /net rw - autofs systemd-1 rw
41 40 0:41 / /net/show rw,relatime shared:9 - nfs4 filer:/show rw,vers=4.2
42 22 0:42 / /mnt/with\\040space rw - cifs //filer/x rw
43 22 0:43 / /mnt/a rw - fuse.sshfs me@host: rw
44 22 0:44 / /mnt/b rw - fuse.gocryptfs /home/me/c rw
45 22 0:45 / /mnt/c rw - fuse.somethingnew x rw
46 22 0:46 / /shared rw - 9p share rw,trans=virtio
47 22 0:47 / /over rw - nfs old:/x rw
48 47 8:1 / /over rw - xfs /dev/sdb rw
49 22 0:49 / /net/show/local rw - btrfs /dev/sdc rw
a line that is not of the format
"""


@pytest.fixture
def mounts(tmp_path):
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTS)
    return str(file)


@pytest.mark.parametrize(
    ("path", "kind", "local"),
    [
        ("/", "ext4", True),
        ("/var/nowhere/at/all", "ext4", True),
        ("/net", "autofs", False),
        ("/net/show", "nfs4", False),
        ("/net/show/not/yet/there", "nfs4", False),
        ("/net/showcase", "autofs", False),
        ("/net/show/local/cache", "btrfs", True),
        ("/mnt/with space/x", "cifs", False),
        ("/mnt/a", "fuse.sshfs", False),
        ("/mnt/b", "fuse.gocryptfs", True),
        ("/mnt/c", "fuse.somethingnew", False),
        ("/shared/folder", "9p", False),
        ("/over/mounted", "xfs", True),
    ],
)
def test_the_innermost_mount_decides(mounts, path, kind, local):
    """The longest mount point above the path, and of several on one point the last."""
    assert (kind, local) == (filesystem_type(path, mounts), is_local(path, mounts))


def test_an_unknown_operating_system_counts_as_local(tmp_path):
    """Where nothing is known about mounts, nothing is turned off."""
    assert is_local("/", str(tmp_path / "absent"))


def test_a_link_is_followed_to_where_it_leads(tmp_path, mounts):
    """A cache folder may be a link into the network."""
    (tmp_path / "link").symlink_to("/net/show/cache")

    assert not is_local(tmp_path / "link" / "below", mounts)
