"""FileConnector sits the examination: every promise of `regiment.contracts.Connector` is a test here."""

from __future__ import annotations

from pathlib import Path

import pytest
from regiment_file.connector import FileConnector

from regiment.contracts import Role
from regiment.errors import QueueFull, StoreError
from regiment_testing.contracts import ConnectorContract


class TestFileConnector(ConnectorContract):
    capabilities = FileConnector.capabilities

    @pytest.fixture
    def connect(self, tmp_path: Path):
        def connect(role: Role) -> FileConnector:
            connector = FileConnector(path=str(tmp_path / "store"))
            connector.open(role)
            return connector

        return connect


def opened(path: Path, role: Role = "push") -> FileConnector:
    connector = FileConnector(url=f"file://{path}")
    connector.open(role)
    return connector


def push(connector: FileConnector, *payloads: bytes, token: str) -> None:
    connector.push("q", payloads, priority=1, token=token)


def test_a_step_that_fails_half_way_leaves_everything_as_it_was(tmp_path: Path) -> None:
    connector = opened(tmp_path)
    push(connector, b"a", token="1")
    with pytest.raises(TypeError):
        push(connector, b"b", None, token="2")  # type: ignore[arg-type]
    assert connector.counts("q").ready == 1
    push(connector, b"b", token="2")
    assert opened(tmp_path, "look").counts("q").ready == 2


def test_looking_makes_no_folder(tmp_path: Path) -> None:
    assert list(opened(tmp_path / "absent", "look").queues()) == []
    assert not (tmp_path / "absent").exists()


def test_a_file_of_somebody_else_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("my diary, which is mine")
    with pytest.raises(StoreError, match="begins with b'my diary, which is mine'"):
        opened(tmp_path)


def test_a_full_disk_is_a_full_queue(tmp_path: Path) -> None:
    connector = opened(tmp_path)
    push(connector, b"a", token="1")
    (tmp_path / "next").symlink_to("/dev/full")
    with pytest.raises(QueueFull, match="No space left on device"):
        push(connector, b"b", token="2")
    (tmp_path / "next").unlink()
    assert connector.counts("q").ready == 1
