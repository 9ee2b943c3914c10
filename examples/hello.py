"""The function form: a queue, and a function that is its task.

    python examples/hello.py

queues three greetings and runs two supervised workers until nothing is left: two lines at once, a third half a second
later. The same by hand, in this folder:

    regiment push hello:greet name=Ada
    regiment run hello                    # Ctrl-C ends it
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from regiment import Queue
from regiment_runner import Supervisor

hello = Queue("hello")


@hello.task
def greet(name: str) -> None:
    print(f"hello {name}, from process {os.getpid()}")


if __name__ == "__main__":
    greet.push(name="Ada")
    greet.push("Grace")  # by position, as in a call
    greet.options(delay=0.5).push(name="Edsger")  # half a second later
    here = str(Path(__file__).parent)
    sys.exit(Supervisor("hello", workers=2, burst=True, app_dir=here).run())
