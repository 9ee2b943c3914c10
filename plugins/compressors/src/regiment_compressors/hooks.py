"""The offers of this distribution; a target is imported only when it is chosen."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_compressors() -> Mapping[str, Offer]:
    home = "regiment_compressors"
    return {
        "zlib": Offer(f"{home}.zlib:ZlibCompressor", summary="fast enough everywhere"),
        "gzip": Offer(f"{home}.zlib:GzipCompressor", summary="zlib in the format of gzip files"),
        "bzip2": Offer(f"{home}.bzip2:Bzip2Compressor", summary="small and slow"),
        "lzma": Offer(f"{home}.lzma:LzmaCompressor", summary="smallest and slowest"),
        "zstd": Offer(f"{home}.zstd:ZstdCompressor", summary="the best trade of size for time"),
    }
