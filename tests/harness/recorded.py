"""Scripts of Redis as they are recorded: who uses no extra sends what it sent before there were any."""

from __future__ import annotations

PLAIN = {
    "exchange": "09a736d908ad4d188c673dcda8c036a65969e672",
    "release": "dc8e78cd440322eb99fa5d82b4b4951704e192ed",
    "renew": "50715c3bd86b933d889e821152a26cfacb5add8f",
    "push": "c33f636bb875aacb030ac0b8bd99559abb24faee",
    "join": "73c7eb392d7230bcfb8dc853f025c914a434889a",
    "revive": "19979c9c78dff2308f757370bd955b9a68927f00",
    "steer": "cbee68ecb23bc7166dc1f27e20ea95aeffa79a0d",
    "purge": "c39b53184beefd3cd658bcb5903cfdba54e0f8bc",
    "drop": "14af1be889a427840e32283b347aeb6280e9c93e",
    "letters": "061dd99cf919e83ca4e5ba8383fc327df7aa78e7",
    "peek": "3f6e7d85c45d6337292ca80ee6bc7b8fced49049",
    "look_ready": "c273b1b5757637d83ae4c54dc53a4c6ee26369c7",
    "look_leased": "b095ee0916f87ad932c00d111283835d30f3a125",
    "aside": "0bea4327bf7c79cf31e7a19698d4b4a78a344a54",
    "back": "fd6d773bead2780ebc0ff1922f7394eb5a2143f8",
}
"""SHA-1 of each script without extras. One that is changed on purpose is recorded anew here, and nowhere else."""
