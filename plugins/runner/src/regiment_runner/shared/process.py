"""Processes: forking them tied to their parent, and saying in words how they ended."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from regiment_runner.shared import crossing

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_libc: Any = None

MIB = 1024 * 1024


def die_with(parent: int) -> None:
    """Have the kernel SIGKILL this process when the thread that forked it ends; end at once if it has."""
    if sys.platform == "linux":
        hear_of_the_end(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def hear_of_the_end(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when the thread that forked it ends."""
    global _libc
    if sys.platform == "linux":
        if _libc is None:
            _libc = ctypes.CDLL(None, use_errno=True)
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def hears_of_the_end() -> None:
    """Raises `OSError` if the kernel lets no process ask to be told of its parent's end; changes nothing."""
    told = ctypes.c_int(0)
    libc = ctypes.CDLL(None, use_errno=True)
    for verb, value in ((_PR_GET_PDEATHSIG, ctypes.byref(told)), (_PR_SET_PDEATHSIG, None)):
        if libc.prctl(verb, told if value is None else value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def end_if_hung(seconds: float) -> None:
    """Have the kernel end this process if it computes for so many seconds before this is called again.

    Processor time: neither a pause of the machine nor SIGSTOP counts, but a loop that keeps the interpreter to itself does.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)  # what SIGPROF does by default is to end the process


def fork(body: Callable[[], int], close: Iterable[int], *, tied: bool = True) -> tuple[int, int]:
    """Run `body` in a child and exit with what it returns; (pid, pidfd) of the child.

    The child closes the descriptors `close`, forgets the parent's signal handlers, and never returns.
    """
    crossing.flush_standard()
    parent = os.getpid()
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, crossing.HEARD)
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(body, close, parent if tied else None, signals)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
    try:
        return pid, os.pidfd_open(pid)
    except OSError:
        # A child without a descriptor nobody could watch; it has begun nothing yet that another must end.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def fork_beside(
    body: Callable[[socket.socket, int], int], close: Iterable[int], *, tied: bool = True
) -> tuple[int, int, socket.socket]:
    """Run `body` in a child with which this process speaks; (pid, pidfd, our end of the channel). `body` is given the other
    end and a pidfd of this process. OSError, and nothing is left of it, where one part cannot be had.
    """
    with contextlib.ExitStack() as both, contextlib.ExitStack() as failed:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        both.callback(theirs.close)
        failed.callback(ours.close)
        parent = os.pidfd_open(os.getpid())
        both.callback(os.close, parent)

        def beside() -> int:
            ours.close()
            theirs.setblocking(False)
            return body(theirs, parent)

        pid, pidfd = fork(beside, close, tied=tied)
        failed.pop_all()
    ours.setblocking(False)
    return pid, pidfd, ours


def _be_child(body: Callable[[], int], close: Iterable[int], parent: int | None, signals: Any) -> NoReturn:
    code = 1
    try:
        if parent is not None:
            die_with(parent)
        signal.set_wakeup_fd(-1)
        for fd in close:
            try:
                os.close(fd)
            except OSError:
                pass
        crossing.take_no_notice(crossing.HEARD - {signal.SIGCHLD})
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        code = body()
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        try:
            crossing.flush_standard()
        finally:
            os._exit(code)


_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOSPC}


def exhausted(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that something is used up for the moment: descriptors, processes, memory."""
    first = error
    while error is not None:
        if isinstance(error, MemoryError) or str(error) == "can't start new thread":
            return True
        # EAGAIN further down may be a connection's, which has nothing to do with it.
        said = _EXHAUSTED if error is first else _EXHAUSTED - {errno.EAGAIN}
        if isinstance(error, OSError) and error.errno in said:
            return True
        error = error.__cause__ or error.__context__
    return False


def reap(pidfd: int) -> int | None:
    """The wait status of a child that has ended (negative: the signal that ended it), or None."""
    try:
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return 0
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def in_words(status: int) -> str:
    """How a process ended: `killed by SIGSEGV`, `exit code 3`."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def end(pidfd: int) -> None:
    """SIGKILL a child, and reap it."""
    send(pidfd, signal.SIGKILL)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)


def send(pidfd: int, number: int) -> None:
    """Signal the process that a pidfd names; one that has ended is nobody else."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass


def out_of_memory(used: int, limit: int) -> str:
    """`out of memory, 512 MiB of 400`."""
    return f"out of memory, {used / MIB:.0f} MiB of {limit / MIB:.0f}"
