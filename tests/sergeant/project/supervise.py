"""A program that supervises with a logger of its own."""

import logging
import os

import regiment_sergeant as sergeant

logger = logging.getLogger("Supervisor")
logger.addHandler(logging.FileHandler(os.environ["OUTBOX"]))
logger.setLevel(logging.INFO)
sergeant.supervisor.Supervisor(
    worker_module_name="consumers",
    worker_class_name="Starved",
    concurrent_workers=1,
    max_worker_memory_usage=None,
    logger=logger,
).start()
