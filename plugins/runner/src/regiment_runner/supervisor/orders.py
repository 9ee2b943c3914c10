"""What the notice boards tell this tree: its workers lease nothing more (`quiet`), or that and end when nothing runs (`drain`)."""

from __future__ import annotations

import logging

from regiment import log
from regiment_runner.shared import page
from regiment_runner.supervisor.members import Group, Tree

EVENTS = {"quiet": "supervisor.quiet", "drain": "supervisor.draining", "": "supervisor.resumed"}


class Orders:
    """Has what the keeper has read obeyed, target by target: each has its own queue, and with it its own board."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def look(self) -> None:
        """Pass on what is new, and end the targets that are drained."""
        orders, children = self._tree.keeping.orders, self._tree.children
        while orders:
            name, said = orders.popitem()
            item = children.get(name)
            if item is not None and item.group.told != said["told"]:
                self._tell(item.group, said["told"], said["by"])
        for group in self._tree.groups:
            if group.told == "drain" and not group.over and self._at_rest(group):
                group.over = True
                for item in group.children:
                    self._tree.order(item, page.STOP)

    def _tell(self, group: Group, told: str, by: str) -> None:
        queue = next((item.spec["queue"] for item in group.children if item.spec), "")
        event, by = EVENTS.get(told, EVENTS["quiet"]), by or "the order was taken back"
        log.event(logging.INFO, event, target=group.label, queue=queue, by=by)
        group.told = told
        for item in group.children:
            if told:
                self._tree.order(item, page.QUIET)
            elif not self._tree.quiet:
                self._tree.resume(item)

    def _at_rest(self, group: Group) -> bool:
        """Whether nothing of it runs. A worker that is starting is waited for: it is told when it is ready."""
        return all(item.ready and self._idle(item.page) for item in group.children)

    def _idle(self, sheet: page.Page) -> bool:
        return not any(phase in page.OPEN for _, _, phase in sheet.numbers())
