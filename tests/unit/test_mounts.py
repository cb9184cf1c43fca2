"""Which filesystem a path lies on, by the system's table of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalogdb.mounts import Mount, mount_of

TABLE = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /data rw,relatime shared:2 - nfs4 server:/export rw,vers=4.2
31 30 8:2 / /data/local\\040disk rw - xfs /dev/sdb1 rw
32 22 0:41 / /home/ada/remote rw shared:3 master:1 - fuse.sshfs ada@host: rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/outputs", Mount("/", "ext4", "/dev/sda1")),
        ("/database", Mount("/", "ext4", "/dev/sda1")),
        ("/data", Mount("/data", "nfs4", "server:/export")),
        ("/data/outputs", Mount("/data", "nfs4", "server:/export")),
        ("/data/local disk/outputs", Mount("/data/local disk", "xfs", "/dev/sdb1")),
        ("/home/ada/remote/outputs", Mount("/home/ada/remote", "fuse.sshfs", "ada@host:")),
    ],
)
def test_the_filesystem_of_a_path(tmp_path: Path, path: str, expected: Mount) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE, encoding="utf-8")
    found = mount_of(path, table=table)
    assert found == expected
    assert found.is_remote == expected.kind.startswith(("nfs", "fuse"))


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    assert mount_of("/outputs", table=tmp_path / "none") is None
