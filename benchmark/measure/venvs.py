"""An environment of its own for each peer, made once and kept outside of the repository."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmark.peers.system import System


def cache() -> Path:
    """Where the environments are: REGIMENT_BENCH_CACHE, else the user's cache."""
    given = os.environ.get("REGIMENT_BENCH_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) if given else Path(base, "regiment-bench")


def programs(system: System) -> Path:
    """The folder of the system's programs; made now, if it is not there. RuntimeError, with pip's words, if it cannot be."""
    if not system.packages:
        return Path(sys.executable).parent
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache() / f"{system.name}-{version}"
    made, wanted = folder / "made.json", list(system.packages)
    if made.exists() and json.loads(made.read_text()) == wanted:
        return folder / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    uv = shutil.which("uv")
    if uv is not None:
        steps = [
            [uv, "venv", "-q", "-p", sys.executable, str(folder)],
            [uv, "pip", "install", "-q", "-p", python, *wanted],
        ]
    else:
        steps = [[sys.executable, "-m", "venv", str(folder)], [python, "-m", "pip", "install", "-q", *wanted]]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{system.name}: {' '.join(step)} ended with {done.returncode}: {done.stderr[-600:]}")
    made.write_text(json.dumps(wanted))
    return folder / "bin"


def versions(system: System, bin: Path) -> dict[str, str]:
    """Versions of what a system consists of, by the names of its distributions."""
    if not system.packages:
        names = ["regiment-core", "redis", "hiredis", "pymongo", "msgpack"]
        return {name: importlib.metadata.version(name) for name in names}
    wanted = [word.partition("[")[0].partition("<")[0] for word in system.packages] + ["redis", "coredis"]
    code = (
        "import sys, json, importlib.metadata as m; here = {d.name for d in m.distributions()}; "
        "print(json.dumps({n: m.version(n) for n in sys.argv[1:] if n in here}))"
    )
    line = [str(bin / "python"), "-c", code, *dict.fromkeys(wanted)]
    found: dict[str, str] = json.loads(subprocess.run(line, capture_output=True, check=True).stdout)
    return found
