"""Seeing what runs, and telling probes: `regiment workers`, `top` and `health`, and the options of `run` about the tree."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.wait import eventually
from regiment_runner.shared import page
from regiment_runner.shared.heads import id_of
from regiment_runner.shared.page import Page

ROOT = Path(__file__).parents[2]

APP = """
import os, signal, time
from regiment import Queue, current

work = Queue("work")

@work.task
def nap(seconds: float) -> None:
    current().progress(3, 10, "halfway")
    time.sleep(seconds)

@work.task
def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)

other = Queue("other", lease=4)

@other.task
def nothing() -> None: ...
"""


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    """A folder of pages of this test's own."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def app(cli):
    cli.write("app.py", APP)
    return cli


def supervisors(cli, *args):
    return cli("workers", "--json", *args).document["supervisors"]


def ready(cli, count):
    """The one tree, as soon as so many of its workers are ready."""
    deadline = time.monotonic() + 15
    while True:
        found = supervisors(cli)
        states = [row["state"] for tree in found for row in tree["workers"]]
        if len(states) == count and "starting" not in states:
            return found[0]
        assert time.monotonic() < deadline, states
        time.sleep(0.05)


def test_workers_shows_every_worker_its_task_for_how_long_and_how_far(app, wait_for):
    run = app.start("run", "app=2")
    tree = ready(app, 4)
    pushed = app("push", "app:nap", "seconds:=30").err.split()[2]
    wait_for(lambda: any(row["state"] == "busy" for row in supervisors(app)[0]["workers"]))
    (tree,) = supervisors(app)
    assert tree["pid"] == run.pid
    assert tree["keeper"] not in (None, run.pid)
    assert [target["label"] for target in tree["targets"]] == ["app:work", "app:other"]
    assert sorted(row["queue"] for row in tree["workers"]) == ["other", "other", "work", "work"]
    (busy,) = [row for row in tree["workers"] if row["state"] == "busy"]
    (task,) = busy["work"]
    assert task["id"] == pushed
    assert (task["done"], task["total"], task["note"]) == (3, 10, "halfway")
    assert 0 <= task["seconds"] < 30
    assert busy["memory"] > 5_000_000
    assert busy["cpu"] >= 0
    shown = app("workers").out
    line = next(line for line in shown.splitlines() if line.lstrip().startswith(str(busy["pid"])))
    for word in ("app:work", "busy", "nap", "3/10 halfway", "MiB"):
        assert word in line
    assert f"supervisor {run.pid}" in shown


def test_workers_says_how_earlier_workers_ended_and_why(app, wait_for):
    app.start("run", "app:work")
    ready(app, 1)
    app("push", "app:crash")
    wait_for(lambda: supervisors(app)[0]["targets"][0]["ends"])
    (target,) = supervisors(app)[0]["targets"]
    assert target["ends"].keys() == {"crash"}
    assert target["last_end"] == "killed by SIGSEGV"
    assert "crash; last: killed by SIGSEGV" in app("workers").out


def test_workers_asks_no_store_and_works_while_it_is_gone(app):
    app.start("run", "app:work")
    ready(app, 1)
    eventually(lambda: app.counts("work").get("workers"), 20)  # its keeper has the file open
    shutil.move(app.folder / ".regiment", app.folder / "away")
    answer = app("workers")
    assert answer.code == 0
    assert "idle" in answer.out
    assert not (app.folder / ".regiment").exists()
    shutil.move(app.folder / "away", app.folder / ".regiment")


def test_workers_of_other_hosts_come_from_the_presence_records_of_a_store(app):
    from regiment.config import as_use
    from regiment.registry import registry

    url = f"sqlite:///{app.folder}/queue.db"
    connector = registry().build("connectors", as_use(url))
    connector.open("keep")
    worker = {"worker": "w1", "pid": 77, "queue": "work", "tasks": 12}
    for host, number in (("elsewhere", 5), (os.uname().nodename, 6)):
        record = {"host": host, "pid": number, "workers": [worker]}
        connector.announce(f"{host}:{number}", json.dumps(record).encode(), 60)
    connector.announce("broken", b"\xff", 60)
    connector.close()
    found = app("workers", "--json", "--connector", url).document["elsewhere"]
    assert [(row["host"], row["supervisor"], row["pid"], row["queue"], row["tasks"]) for row in found] == [
        ("elsewhere", 5, 77, "work", 12)
    ]
    assert "on other hosts: 1 worker" in app("workers", "--connector", url).out


def test_queues_shows_what_its_workers_end_in_a_second(app):
    app("push", "app:nothing")
    app.start("run", "app:other")
    ready(app, 1)
    lines = "{}\n" * 200

    def rate() -> float:
        app("push", "app:nothing", "--kwargs", "-", stdin=lines)
        (shown,) = [one for one in app("queues", "--json").document["queues"] if one["queue"] == "other"]
        assert shown["workers"] in (0, 1)
        return shown["rate"]

    until = time.monotonic() + 60
    while not rate():
        assert time.monotonic() < until
    (row,) = [line for line in app("queues").out.splitlines() if line.startswith("other")]
    assert row.endswith("/s")


def test_workers_shows_what_is_here_also_where_the_store_cannot_be_reached(app):
    app.start("run", "app:work")
    pid = ready(app, 1)["workers"][0]["pid"]
    app.write("broken.db", "this is no database, and long enough to be seen as none" * 100)
    answer = app("workers", "--connector", f"sqlite:///{app.folder}/broken.db")
    assert answer.code == 4
    assert str(pid) in answer.out
    assert "error: " in answer.err


def test_workers_without_any_says_so_and_makes_no_folder(cli, runtime):
    answer = cli("workers")
    assert (answer.code, answer.out) == (0, "")
    assert "no supervisor of this user runs here" in answer.err
    assert cli("workers", "--json").document == {"supervisors": [], "elsewhere": []}
    assert list(runtime.iterdir()) == []


def test_a_page_that_is_only_looked_at_cannot_be_written(tmp_path):
    Page(tmp_path / "w1.page", create=True).close()
    sheet = Page(tmp_path / "w1.page", read_only=True)
    with pytest.raises(TypeError):
        sheet.words[page.ORDERS] = page.STOP
    sheet.close()


def test_an_id_that_cannot_be_read_is_none_and_no_error():
    assert id_of(b"") is None
    assert id_of(b"\0" * 96) is None
    assert id_of(b"\xff" * 96) is None
    assert id_of(bytes([0xC3, 1, 4]) + b"json" + b"\0" + bytes([3]) + b"abc") == "abc"


# top


def test_top_shows_one_frame_and_sorts_and_filters(app, wait_for):
    app.start("run", "app=1")
    ready(app, 2)
    app("push", "app:nap", "seconds:=30")
    wait_for(lambda: any(row["state"] == "busy" for row in supervisors(app)[0]["workers"]))
    frame = app("top", "--once", "--sort", "time").out
    assert "2 workers, 1 busy  sorted by time" in frame
    lines = [line for line in frame.splitlines() if " app:" in line and "of" not in line]
    assert ["busy" in line for line in lines] == [True, False]
    only = app("top", "--once", "--filter", "other").out
    assert "busy " not in only.split("PID")[1]
    assert "\033" not in frame


def test_top_and_workers_show_what_has_ended_also_in_workers_that_were_killed(app, wait_for):
    app.start("run", "app=1")
    found = ready(app, 2)
    for _ in range(3):
        app("push", "app:nap", "seconds:=0")

    def ended():
        return supervisors(app)[0]["ended"].get("work", {}).get("nap", {}).get("success")

    wait_for(lambda: ended() == 3)
    os.kill(next(row["pid"] for row in found["workers"] if row["queue"] == "work"), signal.SIGKILL)
    wait_for(lambda: any(tree["targets"][0]["ends"] for tree in supervisors(app)))
    wait_for(lambda: ended() == 3)
    lines = app("top", "--once").out.splitlines()
    assert ["QUEUE", "TASK", "ENDS", "FAILS", "ENDED", "FAILED"] in [line.split() for line in lines]
    assert ["work", "nap", "0.0/s", "0.0/s", "3", "0"] in [line.split() for line in lines]


def test_top_shows_what_waits_in_the_store_and_that_one_does_not_answer(app):
    assert "READY" not in app("top", "--once").out, "a store without a queue takes no room"
    app("push", "app:nap", "seconds:=30")
    app("queues", "pause", "work")
    lines = [line.split() for line in app("top", "--once").out.splitlines()]
    assert ["QUEUE", "READY", "OLDEST", "RUNNING", "DELAYED", "DEAD", "WORKERS", "ENDS"] in lines
    [row] = [line for line in lines if line[:1] == ["work"]]
    assert row[1:3] == ["(paused)", "1"] and row[-5:] == ["0", "0", "0", "0", "0.0/s"]
    elsewhere = app("top", "--once", "--connector", "redis://127.0.0.1:1/0").out
    assert "the store does not answer" in elsewhere and "no supervisor of this user runs here" in elsewhere


def test_top_goes_on_in_a_pipe_until_its_reader_has_gone(app):
    top = app.start("top", "--interval", "100ms")
    assert top.stdout is not None
    seen = [top.stdout.readline() for _ in range(8)]
    assert sum(line.startswith("regiment top") for line in seen) >= 2
    top.stdout.close()
    assert top.wait(10) == 0


def test_top_on_a_terminal_obeys_its_keys_and_leaves_the_terminal_as_it_was(app):
    app.start("run", "app=1")
    ready(app, 2)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(app.folder)
        os.execve(
            sys.executable,
            [sys.executable, "-m", "regiment", "top", "--interval", "60s"],
            {**app.environment(), "TERM": "xterm", "LINES": "40", "COLUMNS": "120"},
        )

    def read_until(word):
        seen, deadline = "", time.monotonic() + 10
        while word not in seen:
            assert select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0], seen
            seen += os.read(terminal, 65536).decode(errors="replace")
        return seen

    read_until("/ filters")
    os.write(terminal, b"s")
    read_until("sorted by time")
    os.write(terminal, b"/")
    read_until("filter: ")
    os.write(terminal, b"oth")
    read_until("filter: oth")
    os.write(terminal, b"\n")
    read_until('with "oth"')
    os.write(terminal, b"q")
    assert "\033[?1049l" in read_until("\033[?1049l")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


@pytest.mark.slow
def test_top_over_busy_workers_causes_no_system_call_in_them(app, tmp_path, wait_for):
    """A worker in a long task makes none of its own: whatever strace sees, `top` has caused."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    app.start("run", "app:work=8")
    ready(app, 8)
    for _ in range(8):
        app("push", "app:nap", "seconds:=60")
    wait_for(lambda: all(row["state"] == "busy" for row in supervisors(app)[0]["workers"]), 20)
    rows = supervisors(app)[0]["workers"]
    tracers = [
        subprocess.Popen(
            ["strace", "-f", "-o", str(tmp_path / f"calls{row['pid']}"), "-p", str(row["pid"])], stderr=subprocess.PIPE
        )
        for row in rows
    ]
    for tracer in tracers:
        assert tracer.stderr is not None
        line = tracer.stderr.readline()
        if b"attached" not in line:
            pytest.skip(f"strace may not attach here: {line!r}")
    top = app.start("top", "--interval", "100ms")
    time.sleep(3)  # some 30 frames
    top.kill()
    app("workers")
    for tracer in tracers:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        assert tracer.stderr is not None
        tracer.stderr.close()
    calls = "".join(path.read_text() for path in tmp_path.glob("calls*"))
    other = [line for line in calls.splitlines() if "<detached" not in line and "resuming" not in line]
    # attaching interrupts the sleep, which then goes on: that one is strace's
    assert not [line for line in other if "clock_nanosleep" not in line and "select" not in line], calls


# health


def test_health_follows_the_life_of_a_supervisor(app, wait_for):
    assert app("health").code == 1
    assert "no supervisor of this user runs here" in app("health").out
    run = app.start("run", "app:work=2", "--heartbeat", "beat.json")
    ready(app, 2)
    wait_for(lambda: app("health", "--ready").code == 0)
    assert app("health").out == f"healthy: supervisor {run.pid}, 2 of 2 workers ready\n"
    assert app("health", "--heartbeat", "beat.json").code == 0
    assert app("health", "--heartbeat=beat.json", "--ready").out.startswith("ready: ")
    run.send_signal(signal.SIGTERM)
    assert run.wait(10) == 0
    answer = app("health", "--heartbeat", "beat.json")
    assert answer.code == 1
    assert "'beat.json' has no heartbeat; its supervisor has ended" in answer.out


def test_a_supervisor_that_is_stuck_is_unhealthy_though_it_lives(app):
    run = app.start("run", "app:work")
    ready(app, 1)
    assert app("health").code == 0
    run.send_signal(signal.SIGSTOP)
    time.sleep(6)  # five ticks of a second, and what had passed of the sixth
    answer = app("health")
    run.send_signal(signal.SIGCONT)
    assert answer.code == 1
    assert f"unhealthy: supervisor {run.pid} gave its last sign of life" in answer.out
    assert "expected one every 1 s" in answer.out


def test_a_supervisor_with_nothing_to_do_gives_a_sign_of_life_when_it_is_asked(app, wait_for):
    run = app.start("run", "app:work")
    ready(app, 1)
    wait_for(
        lambda: (
            '"dozing": true' in next(Path(os.environ["XDG_RUNTIME_DIR"]).glob("regiment/*/heartbeat.json")).read_text()
        ),
        15,
    )
    time.sleep(6)  # its last sign of life is older than five ticks
    assert app("health", "--ready").out.startswith(f"ready: supervisor {run.pid}")
    (tree,) = supervisors(app)
    assert tree["heartbeat"] < 5
    time.sleep(6)
    run.send_signal(signal.SIGSTOP)
    answer = app("health")
    run.send_signal(signal.SIGCONT)
    assert answer.code == 1
    assert f"unhealthy: supervisor {run.pid} gave its last sign of life" in answer.out
    assert "expected one within 1 s of being asked" in answer.out
    wait_for(lambda: app("health").code == 0)


def test_a_target_without_a_ready_worker_is_healthy_and_not_ready(app, wait_for):
    app.write("slow.py", APP + "\n@work.on('initialize')\ndef slowly():\n    time.sleep(60)\n")
    app.start("run", "slow:work", "slow:other")
    wait_for(
        lambda: any(row["state"] != "starting" for tree in supervisors(app) for row in tree["workers"]),
        15,
    )
    wait_for(lambda: "1 of 2 workers ready" in app("health").out)
    assert app("health").code == 0
    answer = app("health", "--ready")
    assert (answer.code, answer.out) == (1, "not ready: no worker of slow:work is ready\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no heartbeat of this release"),
        ('{"pid": 1}', "holds no heartbeat of this release"),
        (
            '{"pid": 7, "boot": 1e12, "tick": 1, "ready": 1, "wanted": 1, "missing": [], "stopping": false}',
            "the heartbeat of supervisor 7 is from before this host started",
        ),
    ],
)
def test_a_heartbeat_that_says_nothing_is_unhealthy_in_words(cli, text, why):
    cli.write("beat", text)
    answer = cli("health", "--heartbeat", "beat")
    assert answer.code == 1
    assert why in answer.out


def test_health_explains_itself_and_what_it_does_not_know(cli):
    assert "For probes" in cli("health", "--help").out
    answer = cli("health", "--redy")
    assert answer.code == 2
    assert "--ready" in answer.err
    assert cli("--log-level", "ERROR", "health").code == 1  # through click


def test_health_imports_the_standard_library_only_and_little_of_it(cli):
    """60 ms is the promise; what can be held on a busy machine is CPU time beside that of a bare interpreter."""
    code = "import sys; sys.argv = ['regiment', 'health']\nfrom regiment.__main__ import main\ntry:\n main()\nexcept SystemExit:\n print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=cli.environment(), capture_output=True, text=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert {name for name in loaded if name.startswith("regiment.")} <= {
        "regiment.__main__",
        "regiment.installed",
        "regiment.standard",
        "regiment_runner.verbs.health",
        "regiment_runner.shared.places",
        "regiment_runner.shared.procfs",
    }
    assert not {"click", "pluggy", "asyncio", "typing", "pathlib", "dataclasses"} & set(loaded)

    def cost(*args):
        best = 1e9
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *args], env=cli.environment(), capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return best

    cost("-m", "regiment", "health")  # compiled from here on
    assert cost("-m", "regiment", "health") < 3 * cost("-c", "pass")


# options of run


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["app:work", "--max-memory", "12x"], 2, ["'12x' is no size", "512MiB or 1.5GB"]),
        (["app:work", "--max-memory", "-5MiB"], 2, ["'-5MiB' is no size"]),
        (["app:work", "--max-memory", "1MiB"], 2, ["'1MiB' is too small", "32 MiB"]),
        (["app:work=8..1"], 2, ["'8..1' is no number of workers"]),
        (["app:work", "--workers", "many"], 2, ["'many' is no number of workers"]),
        (["app:work=0"], 2, ["'0' is no number of workers"]),
        (["app:work", "app:work=3"], 2, ['the target "app:work" is named twice']),
        (["app", "app:work"], 2, ['the target "app:work" is named twice', '"app" means all workers of that module']),
        (["app:other", "app"], 2, ['the target "app:other" is named twice']),
        (
            ["app:work", "--heartbeat", "no/such/folder/beat"],
            5,
            ["no/such/folder/beat' cannot be written", "No such file"],
        ),
        (["app:work", "--solo", "--max-memory", "512MiB"], 2, ["--max-memory is a supervisor's, and --solo has none"]),
        (["app:work", "--preload", "--reload"], 5, ["--reload and --preload exclude each other"]),
    ],
)
def test_a_wrong_option_is_one_clear_error_and_nothing_is_leased(app, runtime, args, code, words):
    app("push", "app:nap", "seconds:=0")
    answer = app("run", *args)
    assert answer.code == code, answer.err
    for word in words:
        assert word in answer.err
    assert answer.err.count("error:") == 1
    counts = app.counts("work")
    assert (counts["ready"], counts["leased"], counts["dead"]) == (1, 0, 0)
    assert not list(runtime.glob("regiment/*")), "no tree is left"


def test_a_limit_below_what_an_idle_worker_has_in_use_is_refused_before_anything_is_leased(app):
    app.write("large.py", APP + "\nkept = bytearray(b'x') * 80_000_000\n")
    app("push", "large:nap", "seconds:=0")
    answer = app("run", "large:work", "--max-memory", "64MiB")
    assert answer.code == 5
    assert 'a worker of "work" has ' in answer.err
    assert "MiB in use before its first task, and --max-memory is 64 MiB" in answer.err
    counts = app.counts("work")
    assert (counts["ready"], counts["leased"]) == (1, 0)


def test_preload_imports_the_application_once_and_a_thread_of_it_is_refused(app, read_until):
    app.write("once.py", APP + "\nprint('imported by', os.getpid(), flush=True)\n")
    run = app.start("run", "once:work=3", "--preload")
    seen = read_until(run, "worker.ready")
    ready(app, 3)
    run.send_signal(signal.SIGTERM)
    seen += run.stdout.read()
    assert [line for line in seen.splitlines() if "imported by" in line] == [f"imported by {run.pid}"]
    app.write(
        "threads.py",
        APP + "\nimport threading\nthreading.Thread(target=time.sleep, args=(60,), name='mine', daemon=True).start()\n",
    )
    answer = app("run", "threads:work", "--preload")
    assert answer.code == 5
    assert "has started threads (mine)" in answer.err


def test_reload_restarts_workers_when_a_file_changes(app, wait_for):
    pytest.importorskip("watchfiles")
    app.start("run", "app:work", "--reload")
    before = ready(app, 1)["workers"][0]["pid"]
    time.sleep(1)  # the watcher's own start
    app.write("app.py", APP + "\n# changed\n")
    wait_for(lambda: [row["pid"] for row in ready(app, 1)["workers"]] != [before], 15)
    assert supervisors(app)[0]["targets"][0]["ends"] == {"reload": 1}


def test_reload_without_watchfiles_says_what_to_install(app):
    (app.folder / "hide").mkdir()
    app.write("hide/sitecustomize.py", "import sys\nsys.modules['watchfiles'] = None\n")
    answer = app("run", "app:work", "--reload", PYTHONPATH=f"{app.folder}/hide")
    assert answer.code == 6
    assert "pip install regiment-runner[reload]" in answer.err


# systemd


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_systemd_is_told_of_readiness_life_reload_and_end(app, runtime, kind):
    address = f"{runtime}/notify" if kind == "file" else f"@regiment-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address if kind == "file" else "\0" + address[1:])
        listener.settimeout(10)
        os.environ |= {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "15000000"}
        try:
            run = app.start("run", "app:work")
        finally:
            del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]

        def hear(word):
            heard, until = [], time.monotonic() + 30
            while not heard or word not in heard[-1]:
                assert time.monotonic() < until, heard
                heard.append(listener.recv(4096).decode())
            return heard

        before = hear("READY=1")
        assert set(before) <= {"WATCHDOG=1", "READY=1"}
        assert ready(app, 1)["pid"] == run.pid
        hear("WATCHDOG=1")
        hear("WATCHDOG=1")
        run.send_signal(signal.SIGHUP)
        heard = hear("READY=1")
        assert any(word.startswith("RELOADING=1\nMONOTONIC_USEC=") for word in heard)
        assert "STOPPING=1" not in heard, "systemd would take the reload for the end"
        assert ready(app, 1)["pid"] == run.pid
        run.send_signal(signal.SIGTERM)
        hear("STOPPING=1")
        assert run.wait(10) == 0


# signals to the supervisor that are no order to end


def test_sighup_runs_new_code_under_the_same_pid(app, wait_for):
    app.write(
        "code.py",
        "from regiment import Queue\nwork = Queue('work')\n@work.task\ndef say() -> None:\n    print('old code', flush=True)\n",
    )
    run = app.start("run", "code:work")
    worker = ready(app, 1)["workers"][0]["pid"]
    app.write(
        "code.py",
        "from regiment import Queue\nwork = Queue('work')\n@work.task\ndef say() -> None:\n    print('the new code', flush=True)\n",
    )
    run.send_signal(signal.SIGHUP)
    wait_for(
        lambda: supervisors(app) and [row["pid"] for row in ready(app, 1)["workers"]] != [worker],
        15,
    )
    assert supervisors(app)[0]["pid"] == run.pid
    app("push", "code:say")
    wait_for(lambda: app.counts("work").get("ready") == 0)
    run.send_signal(signal.SIGTERM)
    assert run.wait(10) == 0
    said = run.stdout.read()
    assert "the new code" in said
    assert "old code" not in said


def test_sigusr1_logs_the_stacks_of_every_worker(app, read_until, wait_for):
    run = app.start("run", "app:work")
    ready(app, 1)
    app("push", "app:nap", "seconds:=30")
    wait_for(lambda: supervisors(app)[0]["workers"][0]["state"] == "busy")
    run.send_signal(signal.SIGUSR1)
    line = read_until(run, "worker.stacks").splitlines()[-1]
    stacks = json.loads(line)["stacks"]
    assert "app.py" in stacks
    assert "in nap" in stacks
    assert supervisors(app)[0]["workers"][0]["state"] == "busy"


def test_sigusr2_makes_the_tree_quiet_until_it_is_ended(app, wait_for):
    run = app.start("run", "app:work=2")
    ready(app, 2)
    app("push", "app:nap", "seconds:=2")
    wait_for(lambda: any(row["state"] == "busy" for row in supervisors(app)[0]["workers"]))
    run.send_signal(signal.SIGUSR2)
    wait_for(lambda: any(row["state"] == "quiet" for row in supervisors(app)[0]["workers"]))
    app("push", "app:nap", "seconds:=0")
    wait_for(lambda: [row["state"] for row in supervisors(app)[0]["workers"]] == ["quiet", "quiet"])
    time.sleep(0.5)  # idle workers would have leased it at once
    counts = app.counts("work")
    assert (counts["ready"], counts["leased"]) == (1, 0)
    assert sum(row["tasks"] for row in supervisors(app)[0]["workers"]) == 1, "what ran has ended by itself"
    assert app("health").code == 0
    run.send_signal(signal.SIGTERM)
    assert run.wait(10) == 0


# containers and units, as far as a machine without them can show


def test_as_pid_1_a_tree_reaps_what_loses_its_parent_and_ends_at_sigterm(app, wait_for):
    space = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*space, "true"], capture_output=True).returncode:
        pytest.skip("NOT SHOWN: this user may not make a PID namespace")
    app.write(
        "orphans.py",
        APP
        + """
@work.task
def orphan() -> None:
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.2)
        os._exit(0)
    os.wait()
    open("orphaned", "w").close()
""",
    )
    outer = subprocess.Popen(
        [*space, sys.executable, "-m", "regiment", "run", "orphans:work"],
        cwd=app.folder,
        env=app.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    app.running.append(outer)

    def children(pid):
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]

    wait_for(lambda: children(outer.pid) and len(children(children(outer.pid)[0])) == 2, 15)
    (inner,) = children(outer.pid)
    with open(f"/proc/{inner}/status", "rb") as status:
        assert f"NSpid:\t{inner}\t1\n".encode() in status.read()
    usual = children(inner)
    app("push", "orphans:orphan")
    wait_for(lambda: (app.folder / "orphaned").exists())
    time.sleep(0.5)  # the orphan has ended
    wait_for(lambda: children(inner) == usual)
    os.kill(inner, signal.SIGTERM)
    assert outer.wait(10) == 0
    assert "supervisor.stopped" in outer.stdout.read()


def test_the_unit_of_the_examples_is_one_that_systemd_takes(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = (ROOT / "examples/deploy/regiment.service").read_text()
    (tmp_path / "regiment.service").write_text(
        unit.replace("/srv/shop/.venv/bin/regiment", shutil.which("true") or "/bin/true")
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "regiment.service")],
        capture_output=True,
        text=True,
    )
    assert "regiment.service" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["regiment.service", "Containerfile", "kubernetes.yaml"])
def test_the_examples_of_a_deployment_name_options_that_exist(name):
    from regiment.known import COMMANDS
    from regiment_runner.verbs.run import command

    known = {option for param in command.params for option in param.opts} | {"--log-format"}
    lines = [
        line for line in (ROOT / "examples/deploy" / name).read_text().splitlines() if not line.lstrip().startswith("#")
    ]
    text = "\n".join(line for line in lines if "regiment" in line or "args" in line or "CMD" in line)
    used = set(re.findall(r"--[a-z-]+", text)) - {
        "--ready",
        "--interval",
        "--timeout",
        "--start-period",
    }
    assert {"--max-memory", "--stop-timeout"} <= used <= known
    assert {"run", "health"} <= set(COMMANDS)
