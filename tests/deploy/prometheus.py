"""Servers in, a real Prometheus that asks them by our configuration and watches our alerts out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.proxies import DEPLOY, free_ports, replaced, running
from tests.running_server import Served

MONITORING = DEPLOY / "monitoring"
PATIENCE_S = 90.0  # the longest alert takes half a minute, and a busy machine its time


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    served: Served

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now, a sample for each of its series."""
        answer = self.served.client.get(
            f"{self.served.url}/api/v1/query", params={"query": expression}
        ).json()
        assert answer["status"] == "success", (expression, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """The alerts that would wake somebody now."""
        alerts = self.served.get("/api/v1/alerts").json()["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def wait_for(self, *alerts: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Returns once each of the alerts has fired, some perhaps before others."""
        missing, deadline = set(alerts), time.monotonic() + PATIENCE_S
        while missing := missing - self.firing():
            assert time.monotonic() < deadline, f"{missing} did not fire"
            meanwhile()
            time.sleep(0.1)


def hastened(rules: str) -> str:
    """The same rules with each duration in seconds in place of minutes.

    >>> hastened("for: 2m"), hastened("rate(a_m[15m]) > 2")
    ('for: 2s', 'rate(a_m[15s]) > 2')
    """
    return re.sub(r"\b(\d+)m\b", r"\1s", rules)


@contextmanager
def watching(folder: Path, servers: Sequence[Served]) -> Iterator[Prometheus]:
    """Runs Prometheus with our files, as they are but for the durations and the addresses."""
    targets = ", ".join(f'"127.0.0.1:{server.port}"' for server in servers)
    configuration = (MONITORING / "prometheus.yml").read_text()
    file = folder / "prometheus.yml"
    file.write_text(
        replaced(
            configuration,
            ("15s", "500ms"),
            ('targets: ["localhost:8080"]', f"targets: [{targets}]"),
        )
    )
    (folder / "alerts.yml").write_text(hastened((MONITORING / "alerts.yml").read_text()))
    (port,) = free_ports(1)
    command = [
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, folder, port, "/-/ready") as served:
        yield Prometheus(served)
