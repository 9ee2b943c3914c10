"""What cannot be kept is refused: at check, at start, at the first push, where a flow is built, in an outbox."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from regiment import Queue, Requeue
from regiment.contracts import Ticket
from regiment.errors import ArgumentsError
from regiment.registry import registry
from regiment_limits import Later, Limits
from regiment_testing import capture
from regiment_workflows import FlowQueue, GraphError, Workflows

STORE = """
from regiment.contracts import Capabilities
from regiment_local.memory import MemoryConnector
class Without(MemoryConnector):
    capabilities = Capabilities(shared=False, durable=False, extras=MemoryConnector.capabilities.extras - {"flow"})
"""
APP = """
from regiment import Queue, Use
from regiment_limits import Limits
work = Queue("work", connector=Use("store:Without", name="x"), plugins=[Limits()])
@work.task(unique="{n}")
def nap(n: int) -> None: ...
if __name__ == "__main__":
    nap.push(n=1)
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "words", [["-m", "regiment", "check", "app"], ["-m", "regiment", "run", "app", "--solo"], ["app.py"]]
)
def test_a_store_that_does_not_count_is_refused_by_name(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "store.py").write_text(STORE)
    (tmp_path / "app.py").write_text(APP)
    told = run(tmp_path, *words)
    assert told.returncode != 0
    assert 'does not keep "flow", which the plugin limits needs. Stores that keep it: ' in told.stderr, told.stderr
    for name in registry().keepers("flow"):
        assert name in told.stderr


def test_check_says_what_is_wrong_with_limits_that_came_as_plain_data(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        'from regiment import Queue, Use\nwork = Queue("work", connector="memory:", plugins=[Use("limits", at_once=0)])\n'
        "@work.task\ndef nap() -> None: ...\n"
    )
    told = run(tmp_path, "-m", "regiment", "check", "app")
    assert told.returncode == 5 and "at_once is 0" in told.stderr, told.stderr


plain = Queue("refused-plain", connector="sqlite:////nowhere/at/all.db", max_retries=0)


@plain.task
def wrong() -> None:
    raise Later(3)


def test_later_on_a_queue_without_limits_is_an_error_that_says_so() -> None:
    with capture() as held:
        wrong.push()
        held.drain()
    assert 'Later closes a gate, and queue "refused-plain" has none' in held.dead[0].error
    assert isinstance(Later(3), Requeue)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0,), "Later got 0; expected seconds above 0"),
        (("3",), "Later got '3'"),
        ((3, "tenant"), "expected one of lane, pool, queue"),
    ],
)
def test_what_is_wrong_with_later_is_said(arguments: tuple[object, ...], said: str) -> None:
    with pytest.raises(ArgumentsError, match=said):
        Later(*arguments)  # type: ignore[arg-type]


flowing = FlowQueue("refused-flow", connector="sqlite:////nowhere/at/all.db", plugins=[Workflows(), Limits()])


@flowing.task(unique="{n}")
def step(n: int) -> int:
    return n


def test_a_step_of_a_flow_cannot_be_unique() -> None:
    with (
        capture(),
        pytest.raises(GraphError, match="'step' is unique: a step that is left out would never end its flow"),
    ):
        (step.s(1) | step.s()).start()


def test_an_outbox_refuses_what_it_cannot_carry() -> None:
    pytest.importorskip("django")
    from regiment_django.outbox import write

    with pytest.raises(ArgumentsError, match="which an outbox cannot carry; push with options"):
        write(None, "default", "q", [], tickets=[Ticket(lane="a")])
