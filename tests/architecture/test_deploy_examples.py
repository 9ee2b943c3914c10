"""The examples of a deployment take from workers what they do not need: read as they stand, and judged by systemd."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "examples/deploy"
UNIT, MANIFEST, IMAGE = (
    (DEPLOY / name).read_text() for name in ("regiment.service", "kubernetes.yaml", "Containerfile")
)

HARDENED = {
    "UMask": "0077",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "PrivateUsers": "yes",
    "ProtectProc": "invisible",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
}


def test_the_unit_has_every_directive_that_takes_something_away() -> None:
    lines = re.findall(r"^(\w+)=(.*)$", UNIT, re.MULTILINE)
    found = dict(lines)
    assert {name: found.get(name) for name in HARDENED} == HARDENED
    assert found["User"] not in ("", "root")
    filters = [value for name, value in lines if name == "SystemCallFilter"]
    assert filters == ["@system-service", "~@privileged"]


def test_systemd_judges_the_unit_below_2_of_10(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        text = "systemd-analyze (Debian's package systemd) is not here"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(f"SKIPPED WITHOUT PROOF: {text}")
    unit = tmp_path / "regiment.service"
    unit.write_text(UNIT.replace("/srv/shop/.venv/bin/regiment", "/bin/true"))
    command = [program, "security", "--offline=yes", "--threshold=20", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = re.search(r"exposure level for regiment.service: ([\d.]+)", done.stdout)
    assert said is not None, done.stdout + done.stderr
    assert done.returncode == 0 and float(said[1]) < 2.0, done.stdout


def test_the_pod_runs_as_nobody_in_particular_on_a_file_system_that_it_cannot_write() -> None:
    pod = yaml.safe_load(MANIFEST)["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        # What it may write is told, bounded, and not on the node's disk for good.
        places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert set(places.values()) == {"/dev/shm", "/tmp"}
        assert {v["name"] for v in pod["volumes"] if v["emptyDir"]["sizeLimit"]} == set(places)


def test_the_image_ends_up_as_a_user_by_number_that_owns_nothing() -> None:
    users = re.findall(r"^USER (.*)$", IMAGE, re.MULTILINE)
    assert users == ["10001:10001"], "Kubernetes cannot see of a name that it is not root"
    last_change = max(IMAGE.rindex(word) for word in ("\nRUN ", "\nCOPY "))
    assert IMAGE.index("USER ") > last_change, "nothing is written into the image as that user"
    assert "--chown" not in IMAGE and "chmod" not in IMAGE
    uid = yaml.safe_load(MANIFEST)["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert users[0].startswith(f"{uid}:")


def test_no_secret_stands_in_an_example() -> None:
    for text in (UNIT, MANIFEST, IMAGE):
        assert not re.search(r"(redis|mongodb)(\+\w+|s)?://[^…\s]*:[^…@\s]+@", text)
    assert "secretKeyRef" in MANIFEST and "EnvironmentFile=" in UNIT
