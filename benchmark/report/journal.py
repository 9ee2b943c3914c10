"""What was measured: lines of JSON, written as soon as they are known; an interrupted run goes on behind its last one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Journal:
    """One run's file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.records: list[Record] = []
        if path.exists():
            self.records = [json.loads(line) for line in path.read_text().splitlines() if line]
        self._finished = {self._key(record) for record in self.records if record.get("phase") == "end"}

    def write(self, **record: Any) -> None:
        """Append one measurement, with the time."""
        record = {"at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **record}
        self.records.append(record)
        with open(self.path, "a") as file:
            file.write(json.dumps(record) + "\n")
        if record.get("phase") == "end":
            self._finished.add(self._key(record))

    def finished(self, system: str, variant: str, group: str, round: int) -> bool:
        """Whether this step was measured to its end."""
        return (system, variant, group, round) in self._finished

    @staticmethod
    def _key(record: Record) -> tuple[str, str, str, int]:
        return record["system"], record["variant"], record["group"], record["round"]
