"""What tasks say while they run, on its way to the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from unetkit.cluster.tasks import Log

if TYPE_CHECKING:
    from distributed import Client


def speak(topic: str, line: str) -> None:
    """Say a line, from a task.

    Args:
        topic: What `heard` gave.
        line: The line.
    """
    from distributed import get_worker

    get_worker().log_event(topic, line)


@contextmanager
def heard(client: Client, log: Log) -> Iterator[str]:
    """Log what tasks say, as soon as they say it, while the block runs.

    Args:
        client: The client that hands out the tasks.
        log: Takes each line, in a thread of its own.

    Yields:
        The topic to speak to.
    """
    topic = f"unetkit-{uuid4().hex}"
    client.subscribe_topic(topic, lambda event: log(event[1]))
    try:
        yield topic
    finally:
        client.unsubscribe_topic(topic)
