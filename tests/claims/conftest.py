"""The shop of these tests on each store, and an S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.shop import Shop as Shop
from harness.shop import local as local
from harness.shop import shop as shop

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, Any]]:
    """What fsspec is given for an S3 server (moto's) of this process, which has the bucket `claims`."""
    moto = pytest.importorskip("moto.server", reason="moto is missing: pip install -r tests/requirements.txt")
    pytest.importorskip("s3fs", reason="s3fs is missing: pip install -r tests/requirements.txt")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}", "key": "test", "secret": "test", "use_listings_cache": False}
    import s3fs

    s3fs.S3FileSystem(**options).mkdir("claims")
    yield options
    server.stop()
