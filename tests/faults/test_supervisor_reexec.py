"""SIGHUP executes the tree anew; a stop that comes meanwhile is heard by this program or by the next one, never lost."""

from __future__ import annotations

import signal
import time

import pytest

from harness.scale import size
from harness.site import Site


@pytest.mark.parametrize("after", [0.0, 1.1])
def test_sigterm_while_the_tree_drains_for_sighup_ends_it_and_is_no_second_signal(site: Site, after: float) -> None:
    site.app("tasks_per_transaction=1")
    tree = site.tree(workers=1)
    n = site.push(seconds=2.0)
    site.started(n)
    tree.send(signal.SIGHUP)
    tree.event("supervisor.stopping")
    time.sleep(after)  # within and beyond the second in which signals are the same one
    tree.send(signal.SIGTERM)
    assert tree.end(10) == 0
    assert n in site.books().ends, "what ran was finished, not killed"
    assert len(tree.events("supervisor.started")) == 1, "it was not executed anew"
    site.settle(1)


@pytest.mark.parametrize("after", [0.0, 0.005, 0.02, 0.08, 0.15, 0.25])
def test_sigterm_in_the_moment_of_the_restart_ends_the_tree_with_exit_0(site: Site, after: float) -> None:
    """Between the end of one program and the handlers of the next: there a default handler would kill, or PID 1 hear nothing."""
    site.app()
    for _ in range(size(1, 20)):
        tree = site.tree(workers=1)
        tree.send(signal.SIGHUP)
        tree.event("supervisor.stopped")
        time.sleep(after)  # the moment is the row itself
        tree.send(signal.SIGTERM)
        assert tree.end(10) == 0
        assert "Traceback" not in tree.text()
