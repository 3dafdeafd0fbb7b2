"""Clients that ask again and again while a server ends or is replaced -> what they got."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

BODY = b'{"inputs": "Paris is the [MASK] of France."}'


@dataclass
class Asked:
    """What clients got."""

    answers: Counter[int] = field(default_factory=Counter)
    """By status."""
    lost: Counter[str] = field(default_factory=Counter)
    """Requests that were reset or got no answer, by what their client was told of it."""

    @property
    def failed(self) -> dict[str, int]:
        """All that were not answered with 200."""
        others = {str(status): count for status, count in self.answers.items() if status != 200}
        return {**others, **self.lost}


@dataclass(frozen=True)
class Client:
    """One that asks until it is told to stop, or its connection is refused."""

    port: int
    keeps: bool
    """Whether its connection is for as many requests as the server allows, or for one."""
    pause_s: float = 0.0
    """Between an answer and the next request."""
    path: str = "/tokenize"

    def ask(self, stop: threading.Event, asked: Asked) -> None:
        """Adds to `asked` what comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not stop.is_set():
            try:
                if connection.sock is None:
                    connection.connect()
                connection.request("POST", self.path, BODY)
                answer = connection.getresponse()
                answer.read()
            except ConnectionRefusedError:
                break  # nothing was sent: another server may be asked
            except (OSError, http.client.HTTPException) as error:
                asked.lost[type(error).__name__] += 1
                connection.close()
            else:
                asked.answers[answer.status] += 1
            if not self.keeps:
                connection.close()
            time.sleep(self.pause_s)
        connection.close()


def crowd(port: int) -> list[Client]:
    """Clients with a connection for each request, with one that they keep, and with pauses too."""
    new, kept, slow = Client(port, False), Client(port, True), Client(port, True, pause_s=0.05)
    return [new] * 32 + [kept] * 12 + [slow] * 12


@contextmanager
def asking(clients: list[Client]) -> Iterator[Asked]:
    """Has them ask while the caller stays inside; what they got is complete afterwards."""
    stop, each = threading.Event(), [Asked() for _ in clients]
    total = Asked()
    with ThreadPoolExecutor(len(clients)) as threads:
        work = [
            threads.submit(client.ask, stop, asked)
            for client, asked in zip(clients, each, strict=True)
        ]
        try:
            yield total
        finally:
            stop.set()
            for done in work:
                done.result()
            for asked in each:
                total.answers += asked.answers
                total.lost += asked.lost


def refused(port: int) -> bool:
    """Whether nobody listens; one that overlooks new connections still does."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        pass
    return False
