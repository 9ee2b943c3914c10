"""Places: bytes by digest in buckets, on real file systems and on an S3 server; what is unsafe is not read."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from regiment_claims.choosing import place_of
from regiment_claims.places import GRACE, MARKER, Bucket, Held, Place

DATA = b"large" * 1000
DIGEST, SIZE = sha256(DATA).hexdigest(), len(DATA)


@pytest.fixture(params=["file", "local", "memory", "s3", "capture"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    name = tmp_path.name
    if request.param == "s3":
        yield place_of(f"s3://claims/{name}", request.getfixturevalue("s3"))
    elif request.param == "capture":
        yield Held()
    else:
        yield place_of(f"memory://{name}" if request.param == "memory" else f"{request.param}://{tmp_path}/place")


def found(place: Place, until: int, digest: str = DIGEST, size: int = SIZE) -> list[bytes]:
    return list(place.blobs(digest, size, until))


def test_what_was_put_is_found_and_equal_contents_are_one_blob(place: Place) -> None:
    for _ in range(3):
        place.put(DIGEST, DATA, 1000)
    assert found(place, 1000) == [DATA]
    assert place.buckets() == [Bucket(1000, 1, SIZE)]
    assert place.there()


def test_nothing_is_found_under_another_digest_or_size(place: Place) -> None:
    place.put(DIGEST, DATA, 1000)
    assert found(place, 1000, "0" * 64) == [] and found(place, 1000, size=SIZE + 1) == []


def test_a_renewed_blob_is_found_when_its_first_bucket_is_gone(place: Place) -> None:
    place.put(DIGEST, DATA, 1000)
    assert place.renew(DIGEST, SIZE, 1000, 5000) and place.renew(DIGEST, SIZE, 1000, 5000)
    gone = place.sweep(1000 + GRACE + 1)
    assert [one.until for one in gone] == [1000]
    assert found(place, 1000) == [DATA]
    assert [one.until for one in place.buckets()] == [5000]


def test_what_is_gone_cannot_be_renewed(place: Place) -> None:
    place.put("0" * 64, b"other", 1000)
    assert not place.renew(DIGEST, SIZE, 1000, 5000)


def test_a_sweep_takes_whole_buckets_and_not_before_their_grace_is_over(place: Place) -> None:
    place.put(DIGEST, DATA, 1000)
    place.put(DIGEST, DATA, 2000)
    assert place.sweep(1000 + GRACE) == []
    assert place.sweep(1000 + GRACE + 1) == [Bucket(1000, 1, SIZE)]
    assert place.sweep(1000 + GRACE + 1) == []
    assert found(place, 2000) == [DATA]


def test_a_folder_whose_mount_has_gone_takes_nothing_from_who_has_written_to_it(tmp_path: Path) -> None:
    place, folder = place_of(f"file://{tmp_path}/place"), tmp_path / "place"
    place.put(DIGEST, DATA, 1000)
    folder.rename(tmp_path / "server")
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match="is the folder still mounted"):
        place.put(DIGEST, DATA, 1000)
    assert list(folder.iterdir()) == []
    folder.rmdir()
    (tmp_path / "server").rename(folder)
    place.put(DIGEST, DATA, 2000)
    assert found(place, 2000) == [DATA]


def test_what_is_no_bucket_keeps_no_sweep_from_those_that_are(tmp_path: Path) -> None:
    place, folder = place_of(f"file://{tmp_path}/place"), tmp_path / "place"
    place.put(DIGEST, DATA, 1000)
    place.put(DIGEST, DATA, 5000)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"whole")
    (folder / "500").write_bytes(b"a file")
    (folder / "501").symlink_to(tmp_path / "elsewhere")
    (folder / "502").symlink_to("502")
    (
        folder / "1000.over"
    ).mkdir()  # of a sweep that was killed, before a host whose clock is late made the bucket again
    (folder / "1000.over" / "left").write_bytes(b"left")
    assert place.buckets() == [Bucket(1000, 1, SIZE), Bucket(5000, 1, SIZE)]
    assert place.sweep(1000 + GRACE + 1) == [Bucket(1000, 1, SIZE)]
    assert sorted(path.name for path in folder.iterdir()) == ["500", "5000", "501", "502", MARKER]
    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"whole"


def test_a_place_that_nobody_has_written_is_none(tmp_path: Path) -> None:
    for url in (f"file://{tmp_path}/no", f"local://{tmp_path}/no", "memory://nobody"):
        assert not place_of(url).there() and place_of(url).buckets() == []


def test_many_producers_that_write_one_digest_at_once_leave_one_whole_blob(place: Place) -> None:
    wrong: list[Any] = []

    def work() -> None:
        try:
            for _ in range(5):
                place.put(DIGEST, DATA, 1000)
                if found(place, 1000) != [DATA]:
                    wrong.append("not whole")
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    [one.start() for one in threads]
    [one.join() for one in threads]
    assert not wrong
    assert place.buckets() == [Bucket(1000, 1, SIZE)]


def test_files_are_their_users_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        place_of(f"file://{tmp_path}/a/b").put(DIGEST, DATA, 1000)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert modes == {"b": 0o700, "1000": 0o700, DIGEST: 0o600, MARKER: 0o600}


def test_a_file_is_never_seen_in_part(tmp_path: Path) -> None:
    """A writer that is killed again and again leaves whole files, or names that nobody asks for."""
    data = os.urandom(8_000_000)
    digest, url = sha256(data).hexdigest(), f"file://{tmp_path}/place"
    (tmp_path / "data").write_bytes(data)
    text = (
        "import sys; from regiment_claims.choosing import place_of\n"
        f"data = open({str(tmp_path / 'data')!r}, 'rb').read(); place = place_of({url!r}); print('go', flush=True)\n"
        f"for until in range(1000, 2000): place.put({digest!r}, data, until)\n"
    )
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None and writer.stdout.readline() == b"go\n"
            place = place_of(url)
            while not place.buckets():
                pass
            writer.kill()
    ends = [one.until for one in place.buckets()]
    whole = [blob for until in ends for blob in list(place.blobs(digest, len(data), until))[:1]]
    assert all(sha256(blob).hexdigest() == digest for blob in whole)
    place.put(digest, data, ends[-1])
    assert next(place.blobs(digest, len(data), ends[-1])) == data
    place.sweep(10_000)
    assert place.buckets() == []  # and what a killed writer began goes with its bucket


@pytest.mark.parametrize("what", ["file", "bucket", "fifo"])
def test_links_and_pipes_are_not_followed(tmp_path: Path, what: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / DIGEST).write_bytes(DATA)
    place, home = place_of(f"file://{tmp_path}/place"), tmp_path / "place"
    place.put("0" * 64, b"other", 2000)
    if what == "bucket":
        (home / "1000").symlink_to(secret)
    else:
        (home / "1000").mkdir()
        (home / "1000" / DIGEST).symlink_to(secret / DIGEST) if what == "file" else os.mkfifo(home / "1000" / DIGEST)
    assert found(place, 1000) == []
    place.sweep(10_000)
    assert (secret / DIGEST).read_bytes() == DATA


def test_who_reads_a_file_reads_it_to_its_end_while_it_is_swept(tmp_path: Path) -> None:
    """Sweeps, renewals and readers at once: a blob that is renewed in time is never missed."""
    place, stop, missed = place_of(f"file://{tmp_path}/place"), threading.Event(), []
    place.put(DIGEST, DATA, 1000)

    def read() -> None:
        while not stop.is_set():
            if next(place.blobs(DIGEST, SIZE, 1000), None) != DATA:
                missed.append(1)

    readers = [threading.Thread(target=read) for _ in range(3)]
    [one.start() for one in readers]
    for until in range(1001, 1060):
        place.renew(DIGEST, SIZE, until - 1, until)
        place.sweep(
            until - 5 + GRACE
        )  # what was renewed is kept a while beside what it becomes, as its grace makes sure
    stop.set()
    [one.join() for one in readers]
    assert not missed
