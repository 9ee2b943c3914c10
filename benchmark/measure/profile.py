"""Where each microsecond of one regiment task goes: by room of the architecture; client, worker, keeper and supervisor, server.

The totals are measured without a profiler, in a supervised tree; samples of a second run (`apps/sampler.py`) divide them among
the rooms. Beside them the bare loop of the same run: what is above it is regiment's own.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmark.measure import metering, venvs
from benchmark.measure.places import place
from benchmark.measure.processes import APPS, Workers
from benchmark.measure.session import Session
from benchmark.measure.speed import push
from benchmark.peers.system import System, Variant
from benchmark.peers.systems import limits, regiment

ROOMS = {
    "words": "exits errors task outcome",
    "agreements": "contracts hooks config",
    "tools": "log installed registry codec policy verdict descendants",
    "store side": "broker",
    "running side": "page taking runtime trial opening guarded planning ending sprint attempt outbox lease waiting weight source keeper",
    "wiring": "assemble",
    "faces": "pushing worker queue",
}
OF_MODULE = {f"regiment.{name}": room for room, names in ROOMS.items() for name in names.split()}
OF_PLUGIN = {
    "regiment_redis": "connector",
    "regiment_mongo": "connector",
    "regiment_local": "connector",
    "regiment_serializers": "serializer",
    "regiment_compressors": "compressor",
    "regiment_executors": "executor",
    "regiment_killers": "killer",
    "tasks": "the task itself",
}
Shares = dict[tuple[str, str], float]


def room(module: str) -> str:
    """The room of a module."""
    return OF_PLUGIN.get(module.partition(".")[0]) or OF_MODULE.get(module) or "shell"


def profile(variant: Variant, seconds: float) -> str:
    """The page of one variant."""
    lines = [
        f"## regiment, {variant.name}",
        "",
        "| where | room | module | µs | share |",
        "|---|---|---|---|---|",
    ]
    bare = next((one for one in limits.SYSTEM.variants if one.name == variant.name), None)
    ours = _totals(regiment.SYSTEM, variant, seconds)
    limit = _totals(limits.SYSTEM, bare, seconds) if bare else {}
    for part in ("client", "client, in bulk", "worker"):
        shares = _shares(variant, part, seconds)
        for (name, module), share in sorted(shares.items(), key=lambda one: -one[1]):
            if share >= 0.005:
                lines.append(f"| {part} | {name} | {module} | {share * ours[part]:.2f} | {share:.1%} |")
    lines += [
        "",
        "| µs per task | regiment | bare loop | ratio | above it |",
        "|---|---|---|---|---|",
    ]
    for part, value in ours.items():
        base = limit.get(part)
        rest = f"{base:.2f} | {value / base:.2f} | {value - base:.2f}" if base else "– | – | –"
        lines.append(f"| {part} | {value:.2f} | {rest} |")
    return "\n".join(lines) + "\n"


def _totals(system: System, variant: Variant, seconds: float) -> dict[str, float]:
    """CPU µs per task of each part, without a profiler."""
    bin, found = venvs.programs(system), dict[str, float]()
    with place(variant.store) as where, Session(system, variant, bin, where) as session:
        session.push("noop", 50)
        one = push(session, int(500 * seconds), False, seconds)
        many = push(session, int(4_000 * seconds), True, seconds)
        found |= {"client": one["client_us"], "server, a push": one["server_us"]}
        found |= {"client, in bulk": many["client_us"], "server, a push in bulk": many["server_us"]}
    with place(variant.store) as where, Session(system, variant, bin, where) as session:
        stamp, _ = session.push("stamp", 1)
        count = int(variant.pace * (seconds + 1.5))
        first, told = session.push("noop", count, bulk=True)
        with session.workers() as workers:
            total = told["pushed"]
            session.until(workers, first, total, total // 10, 60)
            session.until(workers, first, total, total // 2, 60, time.monotonic() + 1.5)
            before, used = session.sample(workers, first, total), _each(workers)
            session.until(workers, first, total, total, 90)
            after, used_after = session.sample(workers, first, total), _each(workers)
        per, worker = 1e6 / (after.done - before.done), session.board.pids[stamp]
        for pid, value in used_after.items():
            name = "worker" if pid == worker else "supervisor and keeper"
            found[name] = found.get(name, 0.0) + (value - used.get(pid, 0.0)) * per
        found["server, worker's part"] = (after.server - before.server) * per
    return found


def _each(workers: Workers) -> dict[int, float]:
    """Seconds of CPU of each process of a tree."""
    return {pid: metering.cpu(pid) for pid in metering.descendants(workers.roots)}


def _shares(variant: Variant, part: str, seconds: float) -> Shares:
    """The parts of its CPU time by room and module."""
    bulk = part.endswith("bulk")
    with place(variant.store) as where:
        session = Session(regiment.SYSTEM, variant, venvs.programs(regiment.SYSTEM), where)
        with session:
            result = where.folder / "samples"
            line = [
                str(venvs.programs(regiment.SYSTEM) / "python"),
                str(APPS / "sampler.py"),
                str(result),
            ]
            if part == "worker":
                session.push("noop", int(variant.pace * seconds * 2), bulk=True)
                line += ["worker"]
            else:
                count = int((40_000 if bulk else 2_000) * seconds) // 1000 * 1000
                line += ["client", str(session.take(count)), str(count), str(bulk)]
            subprocess.run(
                line,
                cwd=APPS,
                env=session.environment,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            samples: Counter[str] = Counter(json.loads(Path(result).read_text())["samples"])
    del samples["start"]
    total = samples.total() or 1
    return {(room(name), name): number / total for name, number in samples.items()}


def write(folder: Path, name: str, variants: Sequence[str], seconds: float) -> str:
    """Profile the variants, print the page and keep it as `NAME-profile.md`."""
    wanted = variants or ("redis 1", "redis 100", "sqlite 1", "sqlite 100")
    pages = [f"# Profile, {time.strftime('%Y-%m-%d')}\n\n{(__doc__ or '').strip()}\n"]
    for variant in regiment.SYSTEM.variants:
        if variant.name in wanted:
            pages.append(profile(variant, seconds))
            print(pages[-1], flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-profile.md"
    path.write_text("\n".join(pages))
    return f"written: {path.name}"
