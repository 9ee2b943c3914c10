"""What a fail-over loses is done again; deadlines and gates end a flow in time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from regiment.contracts import Arrive, Drop
from regiment_results.records import key_of
from regiment_workflows import FlowFailed, extension, flow, group, keys
from regiment_workflows.tending import Tending

from .conftest import Shop
from .test_flows import until


def test_arrivals_and_steps_that_a_store_has_lost_are_done_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a worker in this process leaves them out, as a fail-over would that loses the last writes of a place."""
    app = shop.app
    run = (group(app.square.s(n=n) for n in range(3)) | app.total.s() | app.after.s()).start(id="lossy")
    assert run.tend() == 0
    whole, lost = extension.Working._succeeded, list[Any]()

    def lossy(self: Any, task: Any, mark: Any, outcome: Any) -> Any:
        effects = whole(self, task, mark, outcome)
        lost.extend(one for one in effects if isinstance(one, Arrive))
        return [one for one in effects if not isinstance(one, Arrive)]

    monkeypatch.setattr(extension.Working, "_succeeded", lossy)
    _work(shop, 3)
    assert run.progress().arrived == 0 and len(lost) == 3
    assert run.tend() >= 3  # the chunk completes, and what comes after it in the same place
    _work(shop, 1)
    assert run.tend() >= 1
    _work(shop, 1)
    assert run.tend() >= 1
    assert run.result(timeout=5) == 5 and run.tend() == 0


def test_a_step_that_is_nowhere_is_sent_again_and_one_that_waits_is_not(shop: Shop) -> None:
    app = shop.app
    run = (app.square.s(n=2) | app.after.s()).start(id="gone")
    assert run.tend() == 0
    with shop.queue.broker.connector() as store:
        assert store.purge("shop") == 1
    payload = run.payloads()["square"]
    assert payload[0] == "shop"
    assert until(run.tend) == 1 and run.tend() == 0
    time.sleep(1.5)
    assert run.tend() == 0
    _work(shop, 2)
    assert run.result(timeout=5) == 4


def _work(shop: Shop, number: int) -> None:
    """Run so many tasks in this process, with their effects, on the real store."""
    from regiment.contracts import Done, Terms
    from regiment.outcome import SUCCESS, Outcome
    from regiment.registry import registry
    from regiment.task import new_id

    scope = registry().scope(shop.queue.config.plugins)
    working: Any = next(one for _, one in scope.pm.list_name_plugin() if isinstance(one, extension.Working))
    working.regiment_worker_started(shop.queue)
    broker, consumer, turn = shop.queue.broker, new_id(), 1
    store: Any = broker.open("lease")
    try:
        store.join("shop", consumer, Terms())
        for _ in range(number):
            taken = store.exchange("shop", consumer, turn, turn, [], 1, 1 << 20)
            assert taken.deliveries, "nothing to run"
            receipt, payload = taken.deliveries[0][:2]
            task = broker.codec.decode(payload, "shop")
            working.regiment_prepare(task)
            value = shop.queue.tasks[task.name].function(**task.kwargs)
            effects = working.regiment_effects(task, task.id, Outcome(SUCCESS, value), "done")
            store.exchange(
                "shop", consumer, turn + 1, turn + 1, [Done(receipt, receipt)], 0, 1 << 20, effects={receipt: effects}
            )
            turn += 2
    finally:
        store.close()


class Target:
    """A queue as a duty learns of it."""

    label, spec = "shop", dict[str, Any]()

    def __init__(self, shop: Shop) -> None:
        self.queue, self._shop = "shop", shop

    def connect(self) -> Any:
        return self._shop.queue.broker.open("duty")

    def at_work(self, seconds: float) -> list[Any]:
        return []


def test_the_duty_fails_what_is_late_tends_what_stands_still_and_keeps_what_runs(shop: Shop) -> None:
    app, duty = shop.app, Tending(60.0)
    duty.learn(Target(shop), None)
    with flow("late", deadline=3600) as f:
        f.add(app.square.s(n=1))
    late = f.start(id="late")
    with flow("gated", tell=app.tell.s()) as f:
        ok = f.gate("approval", timeout=1800)
        f.add(app.after.s(value=ok))
    gated = f.start(id="gated")
    fine = (app.square.s(n=2) | app.after.s()).start(id="fine")
    assert duty.look(time.time()) > 0
    assert {run.state() for run in (late, gated, fine)} == {"running"}
    duty.look(time.time() + 1801)
    assert (late.state(), gated.state(), fine.state()) == ("running", "failed", "running")
    with pytest.raises(FlowFailed, match='nobody has opened the gate "approval" within 1800 s'):
        gated.result(timeout=5)
    duty.look(time.time() + 3601)
    with pytest.raises(FlowFailed, match=r"its deadline of 3600 s has passed"):
        late.result(timeout=5)
    assert fine.state() == "running" and fine.result is not None
    with shop.queue.broker.connector() as store:
        assert store.counts("shop").ready == 3  # two steps, and the one that is told
    for connector in duty._connectors.values():
        connector.close()


def test_a_tree_of_workers_has_the_duty(local: Shop) -> None:
    with flow("late", deadline=0.5) as f:
        f.add(local.app.slow.s(seconds=0.1))
        f.gate("never")
    run = f.start()
    local.run(1)
    with pytest.raises(FlowFailed, match="deadline"):
        run.result(timeout=30)
    assert until(lambda: run.steps()[0].state == "success")


def test_a_value_that_is_gone_fails_the_step_that_wants_it_in_words(local: Shop) -> None:
    app = local.app
    with flow() as f:
        first = f.add(app.square.s(n=3), name="first")
        ok = f.gate("ok")
        f.add(app.after.s(value=first), after=[ok])
    run = f.start(id="gone")
    local.run(1)
    until(lambda: run.progress().done == 1)
    run.apply("shop", [Drop([key_of(keys.task_id("gone", "first"))])])
    run.open("ok")
    with pytest.raises(FlowFailed, match=r"the value of task gone.first of queue shop is not there"):
        run.result(timeout=30)
