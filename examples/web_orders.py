"""FastAPI and SQLAlchemy: an endpoint that enqueues in the transaction of its own data.

    python examples/web_orders.py

is its own client, over HTTP inside of this process: one order is taken, one fails after its task was enqueued, and the worker confirms
the first alone. By hand: uvicorn web_orders:app, and beside it regiment run web_orders:mail, which relays the rows.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from regiment import Queue
from regiment_sqlalchemy import Outbox, enqueue, metadata

DATABASE = "sqlite:///web_orders.db"
engine = create_engine(DATABASE)
mail = Queue("mail", plugins=[Outbox(url=DATABASE)])
app = FastAPI()


class Base(DeclarativeBase): ...


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]
    confirmed: Mapped[bool] = mapped_column(default=False)


@mail.task
def confirm(order: int) -> None:
    with Session(engine) as session, session.begin():
        found = session.get_one(Order, order)
        found.confirmed = True
        print(f"confirmed: {found.item}", flush=True)


@app.post("/orders", status_code=201)
def take(item: str) -> dict[str, object]:
    with Session(engine) as session, session.begin():
        order = Order(item=item)
        session.add(order)
        session.flush()
        pushed = enqueue(session, confirm, order=order.id)
        if item == "unicorn":  # what fails behind the push takes it along
            raise HTTPException(409, "there are no unicorns")
        return {"order": order.id, "task": pushed.id}


if __name__ == "__main__":
    metadata.create_all(engine)
    Base.metadata.create_all(engine)
    with TestClient(app) as client:
        for item in ("lamp", "unicorn"):
            answer = client.post("/orders", params={"item": item})
            print(f"{item}: {answer.status_code}")
    line = [sys.executable, "-m", "regiment", "run", "web_orders:mail", "--burst", "--log-level", "WARNING"]
    subprocess.run([*line, "--app-dir", str(Path(__file__).parent)], check=True)
    with Session(engine) as session:
        print("orders:", [(order.item, order.confirmed) for order in session.query(Order)])
