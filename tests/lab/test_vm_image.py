"""`up --vm-image FILE`: a cloud image, made here by ci/cloud-image.sh, becomes the lab's machines.

The image and its preparation take minutes, emulated many; so it runs only where LABCTL_TEST_MACHINES is set
(ci/test-machines.sh).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl.errors import BAD_FILE, USAGE
from labctl.places import vm_images
from labctl.run import run
from tests.lab.driver import FAMILY, Driver, refused
from tests.lab.test_vm import MACHINES, UP_SECONDS, disk, status

PREPARE_SECONDS = 3600.0
SCRIPT = Path(__file__).parents[2] / "ci/cloud-image.sh"
# Nothing is collected without the word, so nothing is skipped either. The image is a Debian one, made by apt.
WANTED = bool(os.environ.get("LABCTL_TEST_MACHINES")) and FAMILY != "centos" and bool(shutil.which("apt-get"))


@pytest.fixture(scope="module")
def cloud_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cloud") / "debian-12.qcow2"
    run([SCRIPT, made], timeout=3000)
    return made


@pytest.fixture(scope="module")
def lab(image: str, cloud_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    made = Driver("t-cloud")
    made.log = tmp_path_factory.mktemp("t-cloud")
    words = (*MACHINES, "--vm-image", str(cloud_image), "--nodes", "2", "--no-snapshot")
    made("up", *words, timeout=PREPARE_SECONDS + UP_SECONDS)
    yield made
    made.down()


if WANTED:

    @pytest.mark.timeout(9000)
    def test_the_nodes_are_made_of_the_image(lab: Driver) -> None:
        for node in ("node1", "node2"):
            assert lab.on(node, "test", "-f", "/etc/cloud/cloud-init.disabled", check=False).ok
            root = lab.on(node, "findmnt", "-n", "-o", "LABEL", "/").stdout.strip()
            assert root == "cloudroot"
        assert len({lab.on(node, "cat", "/etc/machine-id").stdout for node in ("node1", "node2")}) == 2
        assert len(list((vm_images() / "prepared").glob("*/disk.img"))) >= 1

    def test_they_form_the_cluster_and_see_the_disks(lab: Driver) -> None:
        assert sorted(status(lab)["cluster"]["online"]) == ["node1.example.com", "node2.example.com"]
        checks = lab.json("validate")["checks"]
        assert [check for check in checks if check["status"] == "failed"] == []
        assert disk(lab, "node1") == disk(lab, "node2")

    def test_up_again_keeps_the_image(lab: Driver, cloud_image: Path, tmp_path: Path) -> None:
        assert lab.json("up")["changed"] is False
        assert lab.json("up", "--vm-image", str(cloud_image))["changed"] is False
        refused(lab("up", "--vm-image", str(tmp_path / "other.qcow2"), check=False), USAGE, "labctl down")

    def test_a_wrong_file_is_refused_before_anything_starts(cloud_image: Path, tmp_path: Path) -> None:
        cut = tmp_path / "cut.qcow2"
        with cloud_image.open("rb") as whole:
            cut.write_bytes(whole.read(64 * 1024**2))
        behind = tmp_path / "behind.qcow2"
        run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/hostname", behind, "4G"],
            timeout=60,
        )
        text = tmp_path / "page.qcow2"
        text.write_text("<!DOCTYPE html>")
        other = Driver("t-cloud-bad")
        for file, says in ((cut, "cut short"), (behind, "lies upon another"), (text, "download")):
            words = ("--mode", "vm", "--vm-image", str(file))
            refused(other("up", *words, check=False), BAD_FILE, says)
