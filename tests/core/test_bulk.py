"""A bulk push is cut by bytes, beside the thousand tasks of a round trip."""

from __future__ import annotations

import pytest

from regiment.broker import BULK_BYTES, _parts

HALF = b"x" * (BULK_BYTES // 2)


@pytest.mark.parametrize(
    "sizes,cut",
    [
        ([1, 1], [2]),
        ([2, 2], [1, 1]),
        ([1, 1, 1], [2, 1]),
        ([4, 1, 1], [1, 2]),
        ([1, 4, 1], [1, 1, 1]),
        ([0, 0, 2, 0], [4]),
    ],
)
def test_no_part_has_more_than_its_bytes_but_for_a_payload_that_has_more_by_itself(
    sizes: list[int], cut: list[int]
) -> None:
    parts = list(_parts([HALF * size for size in sizes]))
    assert [b - a for a, b in parts] == cut
    assert [index for a, b in parts for index in range(a, b)] == list(range(len(sizes)))
