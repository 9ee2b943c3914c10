"""What goes wrong with flows: graphs that cannot be, flows that have failed, values that are gone."""

from __future__ import annotations

from typing import Any

from regiment.errors import ArgumentsError, RegimentError


class GraphError(ArgumentsError):
    """The flow cannot be what was written; said where it is written, and nothing was pushed."""


class FlowError(RegimentError):
    """Base of what a run raises."""


class FlowFailed(FlowError):
    """The flow has failed: `step`, `id` and `queue` are those of the task that failed for good, `type` and `message` those of
    its exception. Its cause is the error of that task, where its record can be read.
    """

    def __init__(self, flow: str, step: str, id: str, queue: str, kind: str, type: str, message: str) -> None:
        what = f"{type}: {message}" if type else message or kind
        super().__init__(f'flow {flow} has failed: step "{step}" (task {id} of queue {queue}): {what}')
        self.flow, self.step, self.id, self.queue = flow, step, id, queue
        self.kind, self.type, self.message = kind, type, message

    def __reduce__(self) -> Any:
        return type(self), (self.flow, self.step, self.id, self.queue, self.kind, self.type, self.message)


class FlowCancelled(FlowError):
    """The flow was cancelled."""


class FlowTimeout(FlowError, TimeoutError):
    """The flow has not ended within the time that was to be waited. It goes on."""


class FlowGone(FlowError):
    """Nothing is known of the flow: it was never started here, or its time to live is over."""


class ValueGone(FlowError):
    """The value of an earlier step is not there any more, or could not be kept."""
