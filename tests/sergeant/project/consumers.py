"""Workers in the form of Sergeant's documented examples; only the import differs from a project of Sergeant."""

import logging
import os
import threading
import time

import regiment_sergeant as sergeant


def note(line):
    """One line into the file that the tests read."""
    out = os.open(os.environ["OUTBOX"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(out, f"{line}\n".encode())
    os.close(out)


BASE = sergeant.config.WorkerConfig(
    name="base_worker",
    connector=sergeant.config.Connector(
        type="redis",
        params={
            "nodes": [{"host": "localhost", "port": int(os.environ["REDIS_PORT"]), "password": None, "database": 0}],
        },
    ),
    logging=sergeant.config.Logging(level=logging.INFO, log_to_stdout=True),
)


class Consumer(sergeant.worker.Worker):
    def generate_config(self):
        return BASE.replace(name="consumer", max_retries=3, tasks_per_transaction=10)

    def initialize(self):
        note("initialize")

    def work(self, task):
        self.logger.info(msg=f"got {task.kwargs['number']}", extra={"number": task.kwargs["number"]})
        note(f"consumed {task.kwargs['number']} by {os.getpid()}")


class First(sergeant.worker.Worker):
    def generate_config(self):
        return BASE.replace(name="first", max_tasks_per_run=1)

    def work(self, task):
        self.push_task(task_name="second", kwargs={"text": task.kwargs["text"] + ", and first"})


class Second(sergeant.worker.Worker):
    config = BASE.replace(name="second")

    def work(self, task):
        note(f"{self.config.name} got {task.kwargs['text']} of {task.trace_id}")


class Slow(sergeant.worker.Worker):
    def generate_config(self):
        return BASE.replace(name="slow", timeouts=sergeant.config.Timeouts(timeout=1.0, grace_period=0.5))

    def work(self, task):
        if not task.kwargs["stubborn"]:
            time.sleep(30)
        while True:
            try:
                time.sleep(30)
            except sergeant.worker.WorkerTimedout:
                note("ignored the timeout")

    def post_work(self, task, success, exception):
        note(f"post_work {success} {isinstance(exception, sergeant.worker.WorkerTimedout)}")

    def on_timeout(self, task):
        note(f"timed out, stubborn {task.kwargs['stubborn']}")


class Retried(sergeant.worker.Worker):
    def generate_config(self):
        return BASE.replace(name="retried", max_retries=3)

    def work(self, task):
        note(f"run {task.run_count}")
        self.retry(task=task, priority="HIGH")

    def on_retry(self, task):
        note("on_retry")

    def on_max_retries(self, task):
        note("on_max_retries")


class Threaded(sergeant.worker.Worker):
    meeting = threading.Barrier(2)

    def generate_config(self):
        return BASE.replace(name="threaded", number_of_threads=2, tasks_per_transaction=2)

    def work(self, task):
        self.meeting.wait(30)
        note("met")


class Delayed(sergeant.worker.Worker):
    def generate_config(self):
        return BASE.replace(name="delayed")

    def work(self, task):
        note(f"early {task.kwargs['due'] > time.time()}")


class Stopping(sergeant.worker.Worker):
    def generate_config(self):
        return BASE.replace(name="stopping")

    def work(self, task):
        note(f"param {task.kwargs['param']}")
        if task.kwargs["param"] == "first":
            self.stop()


class Respawning(sergeant.worker.Worker):
    def generate_config(self):
        return BASE.replace(name="respawning")

    def work(self, task):
        note(f"pid {os.getpid()}")
        self.respawn()


class Starved(sergeant.worker.Worker):
    def generate_config(self):
        return BASE.replace(name="starved", starvation=sergeant.config.Starvation(time_with_no_tasks=1))

    def work(self, task):
        pass

    def on_starvation(self, time_with_no_tasks):
        note(f"starved {time_with_no_tasks >= 1}")
        self.stop()


class Adding(sergeant.worker.Worker):
    def generate_config(self):
        return BASE.replace(name="adding")

    def work(self, task):
        tasks = self.get_next_tasks(number_of_tasks=10, task_name="numbers")
        note(
            f"sum {sum(one.kwargs['number'] for one in tasks)}, left {self.number_of_enqueued_tasks(task_name='numbers')}"
        )
