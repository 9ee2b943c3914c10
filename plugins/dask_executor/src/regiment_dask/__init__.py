"""An executor that hands attempts to a Dask cluster: the function runs on a Dask worker, all else stays here.

The names here are what an application needs: `Queue("rows", executor=Dask(address="tcp://scheduler:8786"))`.
"""

from __future__ import annotations

from regiment import Use
from regiment_dask.errors import DaskError, WorkerLost

__all__ = ["Dask", "DaskError", "WorkerLost"]


class Dask(Use):
    """`concurrency` tasks at once (1 to 1,024) on the cluster of the scheduler at `address`. Without an address that of Dask's
    own configuration (`DASK_SCHEDULER_ADDRESS`). `connect_timeout`: seconds in which the scheduler has to answer.
    """

    __slots__ = ()

    def __init__(self, *, address: str | None = None, concurrency: int = 16, connect_timeout: float = 10.0) -> None:
        super().__init__("dask", address=address, concurrency=concurrency, connect_timeout=connect_timeout)
