"""Rules of `regiment doctor` for targets (C01 to C07), and for this host and its trees (H01 to H07)."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from regiment import exits
from regiment.contracts import Application, Examined, Finding
from regiment.registry import registry
from regiment_cli.targets import Running
from regiment_runner import parts
from regiment_runner.shared import places, process, procfs
from regiment_runner.verbs import check, trees
from regiment_runner.verbs.running import STOP_TIMEOUT

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "busybox"})
CGROUPS = Path("/sys/fs/cgroup")
ALMOST = 0.85
"""Share of what is allowed (descriptors, memory) from which on it is a warning."""
THROTTLED = 0.1
"""Share of periods in which the group was held back, from which on it is a warning."""
LEAST_ROOM = 64 * 1024**2
"""Bytes that should be left where pages of workers lie."""

SHM = Path("/dev") / "shm"
FIRST_USER = 1000
"""Number from which on users are people: systemd deletes nothing of those below."""
LOGIND = ("logind.conf", "logind.conf.d/*.conf")


def rules(examined: Examined) -> Iterator[Finding]:
    """All of them."""
    for why in registry().errors:
        yield Finding("C07", "fail", str(why), "regiment plugins says what is installed, and its state")
    if not registry().errors:
        yield Finding("C07")
    for label, app in examined.targets.items():
        yield from of_target(label, app)
    found = trees.look()
    yield from _each("H01", (first_process(tree.pid) for tree in found))
    yield from _each("H02", (descriptors(pid) for tree in found for pid in _pids(tree)))
    group = _group()
    yield memory(group)
    yield throttled(group)
    home = places.home()
    yield room(home, _free(home))
    yield from _each("H05", iter([emptied(home, os.geteuid(), _removes_ipc(), _lingers())]))
    yield allowed(
        lambda: os.close(os.pidfd_open(os.getpid())), lambda: os.close(os.eventfd(0)), process.hears_of_the_end
    )
    yield from _each("H07", (stopped(row.pid) for tree in found for row in tree.workers))


def _each(rule: str, found: Iterator[Finding | None]) -> Iterator[Finding]:
    some = [one for one in found if one is not None]
    yield from some or (Finding(rule),)


def _pids(tree: trees.Tree) -> list[int]:
    return [tree.pid, *([tree.keeper] if tree.keeper else []), *(row.pid for row in tree.workers)]


# Targets


def of_target(label: str, app: Application) -> Iterator[Finding]:
    """C01 to C04 of one target: what `regiment check` says, and what a stop would cut off."""
    problems = parts.check(app, label)
    for problem in problems:
        rule = "C07" if problem.code == exits.PLUGIN else "C01"
        yield Finding(rule, "fail", f"{label}: {problem.text}", "regiment check says all problems of a target at once")
    if problems:
        return
    yield Finding("C01")
    short = [one.text for one in check.short_lease(app, label)]
    yield from (Finding("C02", "warn", f"{label}: {text}", "lease=30.0, as it is by default") for text in short)
    if not short:
        yield Finding("C02")
    yield long_limit(label, app)
    face = type(app.worker) if isinstance(app, Running) else app
    tries = list(check.retries_that_cannot_be(app, face))
    yield from (Finding("C04", "warn", f"{label}: {text}", "max_retries=3, say, or no Retry") for text in tries)
    if not tries:
        yield Finding("C04")


def long_limit(label: str, app: Application) -> Finding:
    """C03: whether a stop can cut off what its own limit would let run."""
    last = app.config.timeouts.strikes()[1]
    if last is None or last <= STOP_TIMEOUT:
        return Finding("C03")
    text = (
        f"{label}: a task may run for {last:g} s, and a stop waits {STOP_TIMEOUT:g} s by default: a deploy ends it in the middle, and "
        "it runs again"
    )
    return Finding("C03", "warn", text, f"regiment run --stop-timeout {last:g}s, and as much in the unit or the pod")


# This host


def first_process(supervisor: int) -> Finding | None:
    """H01: whether a shell stands between the signals of a container and the supervisor."""
    found = procfs.stat(supervisor)
    return None if found is None else under_a_shell(supervisor, found.parent, _name(1))


def under_a_shell(supervisor: int, parent: int, first: str) -> Finding | None:
    """H01, of a supervisor, its parent, and the name of process 1."""
    if parent != 1 or first not in SHELLS:
        return None
    text = f"process 1 is {first}, and the supervisor {supervisor} is its child: SIGTERM does not reach it, and a stop kills it"
    return Finding("H01", "fail", text, 'the exec form: CMD ["regiment", "run", "TARGET"], or exec regiment run TARGET')


def _name(pid: int) -> str:
    return procfs.read(pid, "comm").decode(errors="replace").strip()


def descriptors(pid: int) -> Finding | None:
    """H02: whether a process of a tree has nearly as many files open as it may."""
    used = procfs.descriptors(pid)
    for line in procfs.lines(pid, "limits"):
        if line.startswith(b"Max open files"):
            most = line.split()[3]
            if most.isdigit() and used >= ALMOST * int(most):
                text = f"process {pid} has {used:,} files open of {int(most):,} that it may"
                return Finding("H02", "warn", text, "LimitNOFILE= in the unit, or ulimit -n")
    return None


def _group() -> Path | None:
    """The control group of this process (version 2); None if there is none."""
    for line in procfs.lines("self", "cgroup"):
        if line.startswith(b"0::"):
            found = CGROUPS / line[3:].decode(errors="replace").lstrip("/")
            return found if found.is_dir() else CGROUPS
    return None


def _text(group: Path | None, name: str) -> str:
    try:
        return (group / name).read_text(errors="replace") if group else ""
    except OSError:
        return ""


def memory(group: Path | None) -> Finding:
    """H03: whether the control group has nearly no memory left."""
    most, used = _text(group, "memory.max").strip(), _text(group, "memory.current").strip()
    if not most.isdigit() or not used.isdigit() or int(used) < ALMOST * int(most):
        return Finding("H03")
    text = f"the control group {group} uses {int(used) / 1024**2:,.0f} of {int(most) / 1024**2:,.0f} MiB: the kernel kills what asks for more"
    return Finding("H03", "warn", text, "fewer workers, --max-memory, or a higher limit")


def throttled(group: Path | None) -> Finding:
    """H04: whether the control group is held back for want of CPU."""
    words = _text(group, "cpu.stat").split()
    found = dict(zip(words[::2], words[1::2], strict=False))
    periods, held = int(found.get("nr_periods", 0)), int(found.get("nr_throttled", 0))
    if not periods or held < THROTTLED * periods:
        return Finding("H04")
    text = f"the control group {group} was held back in {held / periods:.0%} of its periods: it has fewer CPUs than it uses"
    return Finding("H04", "warn", text, "fewer workers, or a higher limit of CPU")


def _free(folder: str) -> int:
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def room(home: str, free: int) -> Finding:
    """H05: whether there is room for pages of workers."""
    if free >= LEAST_ROOM:
        return Finding("H05")
    text = f"{free / 1024**2:,.0f} MiB are left at {home}, where each worker has a page: new ones cannot start without"
    return Finding("H05", "warn", text, "make room there, or set XDG_RUNTIME_DIR")


def emptied(home: str, user: int, removes: bool, lingers: bool) -> Finding | None:
    """H05: whether pages are deleted under the hands of their workers when this user logs out."""
    if not Path(home).is_relative_to(SHM) or user < FIRST_USER or not removes or lingers:
        return None
    text = f"systemd empties /dev/shm when user {user} logs out (RemoveIPC), and pages of workers lie in {home}"
    return Finding("H05", "warn", text, "loginctl enable-linger, a unit of the system, or XDG_RUNTIME_DIR")


def _removes_ipc() -> bool:
    """True if systemd-logind runs here, and nothing keeps it from that."""
    said = [text for path in LOGIND for text in Path("/etc/systemd").glob(path)]
    words = "\n".join(path.read_text(errors="replace") for path in said if os.access(path, os.R_OK))
    return os.path.isdir("/run/systemd/sessions") and not re.search(
        r"^\s*RemoveIPC\s*=\s*(no|false|0|off)\b", words, re.M
    )


def _lingers() -> bool:
    try:
        return os.path.exists(f"/var/lib/systemd/linger/{pwd.getpwuid(os.geteuid()).pw_name}")
    except KeyError:
        return False


def allowed(*tries: Callable[[], object]) -> Finding:
    """H06: whether the kernel lets a supervisor hold on to its children."""
    for attempt in tries:
        try:
            attempt()
        except OSError as error:
            text = f"pidfd_open, eventfd or PR_SET_PDEATHSIG is not allowed here ({error.strerror}): no tree can start, or it leaves orphans"
            return Finding("H06", "fail", text, "a seccomp profile that allows them, as those of Docker since 20.10 do")
    return Finding("H06")


def stopped(pid: int) -> Finding | None:
    """H07: whether a worker is stopped or traced, while the limits of its tasks go on."""
    found = procfs.stat(pid)
    if found is None or found.state not in "Tt":
        return None
    tracer = next(
        (line.split()[1].decode() for line in procfs.lines(pid, "status") if line.startswith(b"TracerPid:")), "0"
    )
    what = f"traced by {tracer}" if tracer != "0" else "stopped (SIGSTOP)"
    return Finding("H07", "warn", f"the worker {pid} is {what}; the limits of its tasks go on", f"kill -CONT {pid}")
