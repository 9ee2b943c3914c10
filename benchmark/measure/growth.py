"""How costs grow, of this checkout and of another: each subject in a process of its own, on a store of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmark.growth.sizes import Sizes
from benchmark.measure.places import place
from benchmark.measure.processes import Failed
from benchmark.measure.session import Session
from benchmark.measure.speed import Figures, Found, Scale, Wanted
from benchmark.peers.system import Store

ROOT = Path(__file__).resolve().parents[2]
SUBJECTS = ("waiting", "delayed", "dead", "consumers", "queues", "weights")
PATIENCE = 20.0
"""A subject may take so many times the seconds that a store may be filled for."""


def growth(session: Session, scale: Scale, wanted: Wanted) -> Found:
    """Each subject; of another checkout, if there is one, right before this one's, with " before" behind its names."""
    on = session.variant.store, session.variant.release
    for subject in SUBJECTS:
        found: Figures = {}
        if scale.beside is not None:
            found = {
                f"{name} before": value for name, value in measured(on, subject, scale.growth, scale.beside).items()
            }
        yield f"growth {subject}", {**found, **measured(on, subject, scale.growth, ROOT)}


def measured(on: tuple[Store, str], subject: str, sizes: Sizes, tree: Path) -> Figures:
    """What a process finds that has the plugins of `tree`, on a store of a kind and release."""
    sizes = sizes.on(on[0])
    sources = [str(tree.resolve() / "core" / "src"), *map(str, tree.resolve().glob("plugins/*/src"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sources)}
    with place(*on) as where:
        line = [
            sys.executable,
            "-m",
            "benchmark.growth",
            subject,
            where.url,
            str(where.pid or 0),
            json.dumps(sizes._asdict()),
        ]
        patience = PATIENCE * sizes.seconds
        try:
            done = subprocess.run(
                line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=patience
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"growth, {subject}: not measured within {patience:g} s") from None
    if done.returncode:
        raise Failed(f"growth, {subject}, of {tree}: {done.stderr[-700:]}")
    return dict(json.loads(text) for text in done.stdout.splitlines())
