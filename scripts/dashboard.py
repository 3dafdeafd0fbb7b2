"""The panels below -> deploy/monitoring/dashboard.json for Grafana, which `make docs` writes.

A panel is a title, a unit and its queries; where it stands follows from its place in the list.
"""

import json
from itertools import count
from typing import Any, Final, NamedTuple

from server.metrics import STAGES

_ACROSS: Final = 24  # columns of Grafana's grid
_HEIGHT: Final = 8
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_QUANTILES: Final = (0.5, 0.95, 0.99)


class Query(NamedTuple):
    """What a line of a panel shows; `HERE` stands for the chosen instances."""

    expression: str
    legend: str

    @property
    def written(self) -> str:
        """As Prometheus reads it, once Grafana has put its variables in.

        >>> Query("sum(rate(cloze_items_total{HERE}[WINDOW]))", "texts").written
        'sum(rate(cloze_items_total{instance=~"$instance"}[$__rate_interval]))'
        """
        text = self.expression.replace("HERE", 'instance=~"$instance"')
        return text.replace("WINDOW", "$__rate_interval")


class Panel(NamedTuple):
    """One chart."""

    title: str
    unit: str
    """As Grafana names it: `s`, `bytes`, `percentunit`, `reqps`, `short`."""
    queries: tuple[Query, ...]
    width: int = 8
    stacked: bool = False


def _rate(metric: str, by: str, where: str = "") -> Query:
    selected = f"{where}, HERE" if where else "HERE"
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return Query(f"sum by ({by}) (rate({metric}{{{selected}}}[WINDOW]))", legend)


def _quantiles(metric: str, where: str = "") -> tuple[Query, ...]:
    selected = f"{where}, HERE" if where else "HERE"
    rates = f"sum by (le) (rate({metric}_bucket{{{selected}}}[WINDOW]))"
    return tuple(
        Query(f"histogram_quantile({quantile}, {rates})", f"p{100 * quantile:g}")
        for quantile in _QUANTILES
    )


def _mean(histogram: str, by: str, legend: str) -> Query:
    total, number = (
        f"sum by ({by}) (rate({histogram}_{part}{{HERE}}[WINDOW]))" for part in ("sum", "count")
    )
    return Query(f"{total} / {number}", legend)


def _share(part: str, *whole: str, legend: str) -> Query:
    rates = " + ".join(f"sum(rate({metric}{{HERE}}[WINDOW]))" for metric in whole)
    return Query(f"sum(rate({part}{{HERE}}[WINDOW])) / ({rates})", legend)


def _held(thing: str, legend: str) -> Query:
    return Query(f"sum(cloze_{thing}{{HERE}}) / sum(cloze_{thing}_limit{{HERE}})", legend)


_TASKS: Final = 'model!=""'  # of what a model answered; probes and /metrics have none

ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Is it well?": (
        Panel("Ready processes", "short", (Query("cloze_ready{HERE}", "{{instance}}"),)),
        Panel("Answers by status", "reqps", (_rate("cloze_requests_total", "status", _TASKS),)),
        Panel(
            "Time of an answer", "s", _quantiles("cloze_request_seconds", 'route!~"/metrics|.*z"')
        ),
        Panel("Answers by route", "reqps", (_rate("cloze_requests_total", "route", _TASKS),)),
        Panel("Answers by model", "reqps", (_rate("cloze_requests_total", "model", _TASKS),)),
        Panel("Refusals by reason", "reqps", (_rate("cloze_refusals_total", "reason"),)),
    ),
    "Where the time goes": (
        Panel(
            "Mean time by stage",
            "s",
            (_mean("cloze_stage_seconds", "stage", "{{stage}}"),),
            width=12,
            stacked=True,
        ),
        Panel(
            "One in a hundred takes longer, by stage",
            "s",
            tuple(
                _quantiles("cloze_stage_seconds", f'stage="{stage}"')[-1]._replace(legend=stage)
                for stage in STAGES
            ),
            width=12,
        ),
    ),
    "What waits": (
        Panel(
            "Of the room for requests, taken",
            "percentunit",
            (
                _held("reserved_tokens", "tokens"),
                _held("pending_body_bytes", "bodies"),
                _held("reserved_answer_bytes", "answers"),
            ),
        ),
        Panel(
            "In the queue",
            "short",
            (
                Query("sum by (model) (cloze_queued_items{HERE})", "texts of {{model}}"),
                Query("sum by (model) (cloze_queued_tokens{HERE})", "tokens of {{model}}"),
            ),
        ),
        Panel(
            "Dropped before computing",
            "reqps",
            (
                _rate("cloze_cancelled_total", "model")._replace(legend="client left: {{model}}"),
                _rate("cloze_expired_total", "model")._replace(legend="too late: {{model}}"),
            ),
        ),
    ),
    "What is computed": (
        Panel("Tokens a second", "short", (_rate("cloze_tokens_total", "model"),)),
        Panel("Workers at work", "short", (_rate("cloze_batch_seconds_total", "model"),)),
        Panel("Texts of a batch", "short", (_mean("cloze_batch_items", "model", "{{model}}"),)),
        Panel(
            "How full a batch is",
            "percentunit",
            (
                Query(
                    f"({_mean('cloze_batch_tokens', 'instance, model', '').expression})"
                    " / min by (instance, model) (cloze_batch_budget_tokens{HERE})",
                    "{{instance}} {{model}}",
                ),
            ),
        ),
        Panel(
            "Spared",
            "percentunit",
            (
                _share(
                    "cloze_spared_padding_tokens_total",
                    *("cloze_spared_padding_tokens_total", "cloze_tokens_total"),
                    legend="padding",
                ),
                _share(
                    "cloze_spared_last_layer_rows_total",
                    "cloze_tokens_total",
                    legend="rows of the last layer",
                ),
                _share(
                    "cloze_spared_vocabulary_rows_total",
                    "cloze_tokens_total",
                    legend="rows of the vocabulary",
                ),
            ),
        ),
        Panel(
            "By key",
            "short",
            (
                _rate("cloze_key_requests_total", "key")._replace(legend="requests of {{key}}"),
                _rate("cloze_key_tokens_total", "key")._replace(legend="tokens of {{key}}"),
            ),
        ),
    ),
    "The processes": (
        Panel("Memory", "bytes", (Query("process_resident_memory_bytes{HERE}", "{{instance}}"),)),
        Panel("Cores", "short", (_rate("process_cpu_seconds_total", "instance"),)),
        Panel("Open files", "short", (Query("process_open_fds{HERE}", "{{instance}}"),)),
        Panel(
            "Longest-running batch",
            "s",
            (Query("cloze_worker_heartbeat_age_seconds{HERE}", "{{instance}} {{model}}"),),
        ),
        Panel(
            "Faults",
            "short",
            tuple(
                Query(f"sum(increase({metric}{{HERE}}[WINDOW]))", legend)
                for metric, legend in (
                    ("cloze_poisoned_total", "texts that make a model fail"),
                    ("cloze_memory_errors_total", "batches without memory"),
                    ("cloze_process_restarts_total", "processes that died"),
                    ("cloze_log_lines_dropped_total", "lines of the log that were dropped"),
                )
            ),
        ),
        Panel("Version", "short", (Query("cloze_build_info{HERE}", "{{instance}} {{version}}"),)),
    ),
}


def page() -> str:
    """The dashboard as JSON."""
    numbers = count(1)
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        place = {"x": 0, "y": y, "w": _ACROSS, "h": 1}
        panels.append({"id": next(numbers), "type": "row", "title": title, "gridPos": place})
        x, y = 0, y + 1
        for panel in row:
            if x + panel.width > _ACROSS:
                x, y = 0, y + _HEIGHT
            panels.append(_panel(panel, next(numbers), x, y))
            x += panel.width
        y += _HEIGHT
    return json.dumps(_around(panels), indent=2, ensure_ascii=False)


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    stacking = {"mode": "normal" if panel.stacked else "none"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": _HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"stacking": stacking}},
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + at), "expr": query.written, "legendFormat": query.legend}
            for at, query in enumerate(panel.queries)
        ],
    }


def _around(panels: list[dict[str, Any]]) -> dict[str, Any]:
    source = {"name": "source", "type": "datasource", "query": "prometheus"}
    instance = {
        "name": "instance",
        "type": "query",
        "datasource": _SOURCE,
        "query": "label_values(cloze_build_info, instance)",
        "refresh": 2,  # whenever the time range changes
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "uid": "cloze",
        "title": "Cloze",
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, instance]},
        "panels": panels,
    }
