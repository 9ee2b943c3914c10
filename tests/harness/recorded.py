"""Scripts of Redis as they are recorded: who uses no extra sends what it sent before there were any."""

from __future__ import annotations

PLAIN = {
    "exchange": "02ecf8f23ca483e8a74e83a944b880466910a18b",
    "release": "e3b06a8c72a755a222416dfeb96284c439d82358",
    "renew": "9a45ff733d4cd038825a09d282a65c8430585ba4",
    "push": "5cb33e3a645935d638a3c8e0e8ad328db63185af",
    "join": "a50cabdbe8a39ee8c72338a58cf138a5ec22f639",
    "revive": "bfb5670c0be611aa9dc7e181d1bec7b094ae36b7",
    "steer": "7471643a83d925b511440ed4268eeb8823cdf9db",
    "purge": "6bf4efaba0a81645e58c1d746129bb09e094fee7",
    "drop": "1576908ae5884a938b5dd69e4d138254dfe6b8b6",
    "letters": "061dd99cf919e83ca4e5ba8383fc327df7aa78e7",
    "peek": "3f6e7d85c45d6337292ca80ee6bc7b8fced49049",
    "look_ready": "c273b1b5757637d83ae4c54dc53a4c6ee26369c7",
    "look_leased": "b095ee0916f87ad932c00d111283835d30f3a125",
    "aside": "a048c33e7def657c208f05d8501daf0bbfd83da0",
    "back": "a37ec499149270772df12022415ef87e94928b60",
}
"""SHA-1 of each script without extras. One that is changed on purpose is recorded anew here, and nowhere else."""
