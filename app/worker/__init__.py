"""The worker: does what the outbox holds, in a thread of the embedded server or in processes of its own."""

from app.worker.loop import Worker, start_embedded

__all__ = ["Worker", "start_embedded"]
