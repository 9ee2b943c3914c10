"""Starts long tasks, and tells how far they are."""

import os
import time

from flask import Flask, jsonify, request, url_for

from regiment_celery import Celery

app = Flask(__name__)
app.config["CELERY_BROKER_URL"] = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0")
app.config["CELERY_RESULT_BACKEND"] = app.config["CELERY_BROKER_URL"]

celery = Celery(app.name, broker=app.config["CELERY_BROKER_URL"], backend=app.config["CELERY_RESULT_BACKEND"])

OUTBOX = os.environ.get("OUTBOX", "outbox.txt")


@celery.task(bind=True, autoretry_for=(ConnectionError,), retry_kwargs={"max_retries": 3, "countdown": 0.1})
def send_email(self, to, subject):
    """Writes what it would send; the server is away at first."""
    if self.request.retries == 0:
        raise ConnectionError("the mail server is away")
    with app.app_context(), open(OUTBOX, "a") as outbox:
        outbox.write(f"{to}: {subject}\n")


@celery.task(bind=True)
def long_task(self, total=30):
    """Runs for a while, and says how far it is."""
    for i in range(total):
        message = ("Starting up", "Cooking", "Repairing")[i % 3]
        self.update_state(state="PROGRESS", meta={"current": i, "total": total, "status": message})
        time.sleep(0.1)
    return {"current": total, "total": total, "status": "Task completed!", "result": 42}


@app.post("/email")
def email():
    send_email.apply_async(args=[request.json["to"], "Hello from Flask"], countdown=0.1)
    return {}, 202


@app.post("/longtask")
def longtask():
    task = long_task.apply_async()
    return jsonify({}), 202, {"Location": url_for("taskstatus", task_id=task.id)}


@app.get("/status/<task_id>")
def taskstatus(task_id):
    task = long_task.AsyncResult(task_id)
    if task.state == "PENDING":
        response = {"state": task.state, "current": 0, "total": 1, "status": "Pending..."}
    elif task.state != "FAILURE":
        info = task.info or {}
        response = {"state": task.state, "current": info.get("current", 0), "total": info.get("total", 1)}
        response["status"] = info.get("status", "")
        if "result" in info:
            response["result"] = info["result"]
    else:
        response = {"state": task.state, "current": 1, "total": 1, "status": str(task.info)}
    return jsonify(response)
