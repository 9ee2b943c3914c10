"""Scripts of Redis as they are recorded: who uses no extra sends what it sent before there were any."""

from __future__ import annotations

PLAIN = {
    "exchange": "e6d37cb06c214c5a1a34759be17c17430b7e73df",
    "release": "b8d15de2d79f1805de67ae2b4cdb0d1b27fd277c",
    "renew": "7f663c963cd1001d51adffca69bf5b29e9a095bc",
    "push": "ff04db5b7597d931d705879c67ecaf548e0bb92f",
    "join": "08ebb3a7fe17191057cc6c4e18b8593ed6d9e122",
    "revive": "34beaeffe21fa15f0731b2f2cb65a335dc56b990",
    "steer": "341abaffa54f53fd890218d21bbe0a816c12db54",
    "purge": "f71974607de156abcdcb1ca1abe7822b91e06816",
    "drop": "d2fb08aea758921c6733d7c4ec875be97a2a849a",
    "letters": "061dd99cf919e83ca4e5ba8383fc327df7aa78e7",
    "peek": "3f6e7d85c45d6337292ca80ee6bc7b8fced49049",
    "look_ready": "c273b1b5757637d83ae4c54dc53a4c6ee26369c7",
    "look_leased": "b095ee0916f87ad932c00d111283835d30f3a125",
    "aside": "11ea7dc7a3b86738e913127e71637e3cbb1540f5",
    "back": "5c64f666bf64352579f300d718297f2f7ed20deb",
}
"""SHA-1 of each script without extras. One that is changed on purpose is recorded anew here, and nowhere else."""
