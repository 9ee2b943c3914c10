"""FastAPI: an endpoint that pushes and waits without a thread, what a store that is away answers, and the end of the process.

    python examples/web_fastapi.py

starts a worker, and then is its own client, over HTTP inside of this process. By hand: uvicorn web_fastapi:app, and beside it
regiment run web_fastapi:sums. Starlette is the same but for its routes.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from regiment import Queue, StoreUnavailable
from regiment_results import ResultGone, ResultQueue, Results, ResultTimeout, TaskFailed

sums = ResultQueue("sums", plugins=[Results(ttl=600)])
away = Queue("away", connector="redis://127.0.0.1:1/0", push_timeout=0.2)


@sums.task
def add(numbers: list[int]) -> int:
    return sum(numbers)


@away.task
def never() -> None: ...


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Reach the store before the first request, and give its connections back after the last."""
    await asyncio.to_thread(sums.kept, "warm")
    yield
    await asyncio.to_thread(sums.broker.close)


app = FastAPI(lifespan=lifespan)


@app.exception_handler(StoreUnavailable)
async def unavailable(request: Request, error: StoreUnavailable) -> JSONResponse:
    """A store that is away is no error of the request: it may be sent again."""
    return JSONResponse({"error": "try again", "id": error.id}, status_code=503, headers={"Retry-After": "2"})


@app.post("/sums", status_code=202)
async def start(numbers: list[int | str]) -> dict[str, str]:
    pushed = await add.options(headers={"by": "fastapi"}).apush(numbers=numbers)  # type: ignore[arg-type]
    return {"id": pushed.id}


@app.get("/sums/{id}")
async def look(id: str, wait: float | None = None) -> JSONResponse:
    handle = sums.handle(id)
    if wait is None:
        return JSONResponse({"state": await asyncio.to_thread(handle.state)})
    try:  # a coroutine that waits costs no thread and no polling
        return JSONResponse({"state": "success", "result": await handle.aresult(timeout=min(wait, 30.0))})
    except ResultTimeout:
        return JSONResponse({"state": await asyncio.to_thread(handle.state)}, status_code=202)
    except ResultGone:
        return JSONResponse({"state": "unknown"}, status_code=404)
    except TaskFailed as failed:
        return JSONResponse({"state": "failure", "error": f"{failed.type}: {failed.message}"})


@app.post("/away", status_code=202)
async def to_a_store_that_is_away() -> dict[str, str]:
    return {"id": (await never.apush()).id}


def main() -> None:
    here = str(Path(__file__).parent)
    worker = subprocess.Popen([sys.executable, "-m", "regiment", "run", "web_fastapi:sums", "--app-dir", here])
    try:
        with TestClient(app) as client:  # with the lifespan
            started = client.post("/sums", json=[1, 2, 3]).json()
            print("waited:", client.get(f"/sums/{started['id']}?wait=30").json())
            wrong = client.post("/sums", json=[1, "two"]).json()
            print("failed:", client.get(f"/sums/{wrong['id']}?wait=30").json())
            print("unknown:", client.get("/sums/never?wait=1").json())
            answer = client.post("/away")
            print("away:", answer.status_code, "retry after", answer.headers["retry-after"])
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main()
