"""The connector "memory": the contract of a connector in plain Python, in one process. To read, and for tests."""

from regiment_local.memory.connector import MemoryConnector

__all__ = ["MemoryConnector"]
