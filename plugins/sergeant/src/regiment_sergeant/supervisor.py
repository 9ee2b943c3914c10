"""Sergeant's supervisor: its options and its class, which start a tree of `regiment run`.

python -m regiment_sergeant.supervisor --concurrent-workers=4 --worker-module=crawl --worker-class=Crawl
"""

from __future__ import annotations

import argparse
import logging
import sys
from typing import NoReturn

from regiment_cli.ends import ended

__all__ = ["Supervisor", "main"]


class Supervisor:
    """Starts `concurrent_workers` workers of a class and replaces them; one whose resident memory is above
    `max_worker_memory_usage` bytes is replaced after its task. Handlers of `logger` get what regiment logs, too.
    """

    def __init__(
        self,
        worker_module_name: str,
        worker_class_name: str,
        concurrent_workers: int,
        max_worker_memory_usage: int | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self.worker_module_name, self.worker_class_name = worker_module_name, worker_class_name
        self.concurrent_workers, self.max_worker_memory_usage = concurrent_workers, max_worker_memory_usage
        self.logger = logger

    def start(self) -> NoReturn:
        """Supervise until told to stop, and end this program; 0 is the exit code of an ordinary end."""
        sys.exit(ended(self._run))

    def _run(self) -> int:
        from regiment_runner import Supervisor as Runner

        if self.logger is not None:
            for handler in self.logger.handlers:
                logging.getLogger("regiment").addHandler(handler)
        target = f"{self.worker_module_name}:{self.worker_class_name}"
        tree = Runner([target], workers=self.concurrent_workers, max_memory=self.max_worker_memory_usage)
        return tree.run()


def main() -> None:
    """What `python -m sergeant.supervisor` did, by the same options."""
    parser = argparse.ArgumentParser(prog="python -m regiment_sergeant.supervisor", description="Supervise workers.")
    parser.add_argument("--concurrent-workers", type=int, required=True, help="how many processes")
    parser.add_argument("--worker-module", required=True, help="module of the worker class")
    parser.add_argument("--worker-class", required=True, help="name of the worker class")
    parser.add_argument("--max-worker-memory-usage", type=int, help="bytes of resident memory of one worker")
    given = parser.parse_args()
    Supervisor(given.worker_module, given.worker_class, given.concurrent_workers, given.max_worker_memory_usage).start()


if __name__ == "__main__":
    main()
