"""A pipeline: three queues, each with its own worker, that hand a text on; the trace id stays with it.

    python examples/pipeline.py

`split` cuts a text into sentences, `count` counts the words of each, `report` prints what it was told. A sentence that
is a question goes first. By hand, in this folder: `regiment run pipeline --workers 2` runs two workers of each queue.
"""

from __future__ import annotations

import sys
from pathlib import Path

from regiment import Queue, current
from regiment_runner import Supervisor

split = Queue("split")
count = Queue("count", tasks_per_transaction=10)
report = Queue("report")


@split.task
def sentences(text: str) -> None:
    for sentence in text.replace("?", "?.").split("."):
        if sentence.strip():
            priority = "HIGH" if sentence.endswith("?") else "NORMAL"
            words.options(priority=priority).push(sentence=sentence.strip())


@count.task
def words(sentence: str) -> None:
    tell.push(sentence=sentence, number=len(sentence.split()))


@report.task
def tell(sentence: str, number: int) -> None:
    task = current().task
    print(f"{number:>3} words  {sentence!r}  trace {task.trace_id if task else ''}", flush=True)


TEXT = (
    "A task is pushed. It is leased by one worker at a time. What if that worker dies? "
    "Then its keeper gives the task back, and another one runs it."
)

if __name__ == "__main__":
    pushed = sentences.push(text=TEXT)
    print("trace", pushed.id, flush=True)
    here = str(Path(__file__).parent)
    # A burst ends a queue's workers when that queue is empty; so the stages run one after the other here.
    code = 0
    for stage in ("split", "count", "report"):
        code = code or Supervisor(f"pipeline:{stage}", burst=True, app_dir=here).run()
    sys.exit(code)
