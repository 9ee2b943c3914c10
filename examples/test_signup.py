"""An application's own tests with `regiment_testing.capture`: no store, no worker, no waiting.

    python examples/test_signup.py        # or: pytest examples/test_signup.py

`signup` queues a welcome mail at once and a reminder for a week later. The mail server fails once; the test runs the
retry and the week in a moment, by a clock that only the test moves.
"""

from __future__ import annotations

from regiment import Backoff, Queue
from regiment_testing import capture

DAY = 86_400
mail = Queue("mail", connector="redis://mail.example:6379/0")  # not needed here: capture stands in
sent: list[str] = []
failures = [ConnectionError("the mail server is away")]


@mail.task(max_retries=3, backoff=Backoff(first=60, jitter=False))
def send(to: str, subject: str) -> None:
    if failures:
        raise failures.pop()
    sent.append(f"{to}: {subject}")


def signup(address: str) -> None:
    """What is tested."""
    send.push(to=address, subject="welcome")
    send.options(delay=7 * DAY).push(to=address, subject="how do you like it?")


def test_signup_sends_a_welcome_and_a_week_later_a_reminder() -> None:
    with capture() as q:
        signup("ada@example.org")
        q.assert_pushed(send, to="ada@example.org", subject="welcome")
        assert q.assert_pushed(send, subject="how do you like it?").delay == 7 * DAY
        q.advance(59)
        assert sent == []  # the first try failed; the second is due a minute later
        q.advance(1)
        assert sent == ["ada@example.org: welcome"]
        q.drain()
        assert q.now == 7 * DAY
        assert sent[-1] == "ada@example.org: how do you like it?"
        q.assert_none_dead()


if __name__ == "__main__":
    test_signup_sends_a_welcome_and_a_week_later_a_reminder()
    print("ok:", *sent, sep="\n  ")
