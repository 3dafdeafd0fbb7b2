"""The source -> docs/settings.md, http.md, metrics.md, clients.md, and the dashboard.

Settings, routes, errors and metrics are described where they are declared, clients where they are
tested; these pages are written from there: each fact has one home. A test holds each committed page
against what is written here.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, get_args

from fastapi.testclient import TestClient

from scripts import clients, dashboard
from server.errors import ClozeError, Full, NoMask, QueueFull
from server.http.app import create_app
from server.http.context import Service
from server.http.families import FAMILIES, PLAIN, Family
from server.inference.pipeline import Usage
from server.process.shared_memory import ProcessGroupMember, SharedStatistics
from server.settings import ENV_PREFIX, GROUPS, Settings, title

DOCS: Final = Path(__file__).parents[1] / "docs"
OF_MODEL: Final = "/models/{model}"

Schema = dict[str, Any]

SETTINGS_HEAD: Final = """\
# Settings

Written by `make docs` from `server/settings.py`. Each option is an environment variable and a flag
of `python -m server` (with `make serve`: `make serve ARGS="--port 9000"`); a flag wins.

"""

HTTP_HEAD: Final = """\
# HTTP reference

Written by `make docs` from the OpenAPI document, which a running server answers at `/openapi.json`
and shows at `/docs`. [The pages of the tasks](index.md#tasks) explain them by example.

Requests and answers are JSON in UTF-8. A field of a body that is not listed here is passed over and
named in `x-ignored`; within `parameters` and other objects it is refused. `null` stands for a
field's default, and choices may be written in capitals. Every text must have something in it. How
much one request may hold is bounded by [settings](settings.md), which `GET /info` answers under
`limits`. HEAD asks what GET asks and is answered without a body. A slash at the end of a path is
passed over.

The model is the one that the path names, else the one that the body names as `model`, by name or by
[alias](settings.md), else the default one if it can do the task, else the only one that can.

"""

HEADERS: Final = """\
## Headers

| request header | what it does |
|---|---|
| `content-type` | must be `application/json` if it is sent; the charset, if given, must be UTF-8 |
| `content-encoding` | `gzip` or `deflate`; the bounds on a body are those of what it inflates to |
| `accept-encoding` | with `gzip` in it an answer of 1 KB or more is compressed |
| `x-request-id` | up to 64 letters, digits and `._:-`; otherwise the server makes one up |
| `x-request-timeout-ms` | milliseconds that the answer may take, up to `CLOZE_MAX_TIMEOUT_S` |
| `traceparent`, `tracestate` | the [trace](operations.md#traces) that the request is part of |

| answer header | on | what it says |
|---|---|---|
| `x-request-id` | every answer | the id of this request, which its log lines name too |
| `x-compute-tokens` | tasks | tokens that were computed for it, special tokens included |
| `server-timing` | tasks | milliseconds spent on `tokenise`, `queue` and `compute` |
| `x-truncated` | tasks, if inputs were cut | their indices, at most 64 and then `...` |
| `x-ignored` | answers to a body, if fields were passed over | at most 16 names; `...` for others |
| `content-encoding` | answers of 1 KB or more, if asked for | `gzip` |
| `vary` | answers of 1 KB or more | `accept-encoding`: with another one, another coding |
| `location` | `GET /` without the page | where the docs are |
| `retry-after` | some of 429 and 503 | seconds to wait before the next attempt |
| `allow` | 405 | the methods that the path takes |
| `traceparent` | every answer, if the request is traced | the request's own span |
| `connection` | answers during a shutdown | `close`: the connection is closed; open a new one |

"""

ERRORS_HEAD: Final = """\
## Errors

Every answer that is not a success has the shape that the clients of its route read. `code` is
stable, so programs should look at it; the sentence is for people and may change. `error_type` is
one of those that text-embeddings-inference has.

"""

METRICS_HEAD: Final = """\
# Metrics

Written by `make docs` from `server/metrics.py` and `server/collectors.py`. `GET /metrics` answers
them in Prometheus's text format, beside the `process_…` and `python_info` figures that every Python
client of Prometheus has.
A counter starts at 0 with the server; a histogram has the usual `_bucket`, `_sum` and `_count`
series. Labels take values from fixed sets (routes as declared, names of loaded models and of keys,
codes of errors), so clients cannot create new series. With
[several processes](deploy.md#several-processes) each figure is the sum over all of them, whichever
one is asked. [Operations](operations.md) has a dashboard and alerts.

The stages of `cloze_stage_seconds` follow one another. `receive` ends when the request's body has
come and is understood; `tokenise` with the texts as tokens; `queue` when a worker takes them;
`compute` with the last result; `answer` when the answer is handed to the connection.

`reason` is the `code` of the [error](http.md#errors). A full queue says what is full of it:

{REASONS}

"""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    r"""Writes a Markdown table with an empty line after it.

    >>> table(["a", "b"], [["1", "x|y"]]).splitlines()
    ['| a | b |', '|---|---|', '| 1 | x\\|y |', '']
    """
    head = list(head)
    lines = [head, ["---"] * len(head), *([cell.replace("|", r"\|") for cell in r] for r in rows)]
    written = [f"| {' | '.join(line)} |\n" for line in lines]
    return "".join(written).replace("| --- ", "|---").replace("--- |", "---|") + "\n"


def shown(default: object) -> str:
    """Writes a default as one would type it.

    >>> shown(65536), shown(None), shown(True), shown(())
    ('65536', '', 'true', '')
    """
    if default is None or default == ():
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def settings_page() -> str:
    """Lists every option by its group."""
    text = SETTINGS_HEAD
    for group in GROUPS:
        rows: list[tuple[str, ...]] = []
        for name, field in group.model_fields.items():
            names = f"`{ENV_PREFIX}{name.upper()}`", f"`--{name.replace('_', '-')}`"
            rows.append((*names, shown(field.default), field.description or ""))
        head = ["variable", "flag", "default", "what it is"]
        text += f"## {title(group)}\n\n{table(head, rows)}"
    return text


def metrics_page() -> str:
    """Lists every metric of a server with several processes, which has all that one alone has."""
    member = ProcessGroupMember(0, SharedStatistics(1), control=0, is_replacement=False)
    metrics = Service.of(Settings(), member).metrics
    usage = Usage(0, (), 0.0, 0.0, 0.0, 0.0, 0.0)
    told = {"reason": "no_mask", "key": "search"}
    metrics.observe(route="", status=422, model="", started=0.0, ended=0.0, usage=usage, **told)
    # Of an empty family only itself tells the labels.
    labels = {
        each.name: getattr(each, "_labelnames", None)
        or [label for label in (each.samples[0].labels if each.samples else ()) if label != "le"]
        for each in metrics.registry.collect()
    }
    rows: list[tuple[str, ...]] = []
    for about, kind in pairwise(metrics.exposition().decode().splitlines()):
        if about.startswith("# HELP cloze_") and kind.startswith("# TYPE "):
            name, purpose = about.removeprefix("# HELP ").split(" ", 1)
            named = ", ".join(f"`{label}`" for label in labels.get(name.removesuffix("_total"), ()))
            rows.append((f"`{name}`", kind.rpartition(" ")[2], named, purpose))
    head = METRICS_HEAD.replace("{REASONS}", reasons())
    return head + table(["metric", "type", "labels", "what it counts"], sorted(rows))


def reasons() -> str:
    """Lists what a queue may be full of, as metrics have it."""
    return "\n".join(f"- `{QueueFull.code}:{full}`" for full in get_args(Full))


def http_page() -> str:
    """Describes every route, header and error."""
    document = openapi()
    schemas: dict[str, Schema] = document["components"]["schemas"]
    described: list[str] = []
    for path, methods in document["paths"].items():
        if not path.startswith(OF_MODEL):
            for method, operation in methods.items():
                per_model = method in document["paths"].get(of_model_path(path), {})
                described.append(route(f"{method.upper()} {path}", operation, schemas, per_model))
    parts = [HTTP_HEAD, routes(document), HEADERS, errors_part(), *described, shapes(document)]
    return "".join(parts)


def openapi() -> Schema:
    """Asks the application for its OpenAPI document; no model is loaded for that."""
    app = create_app(Service.of(Settings(docs=True)), lambda _app: nullcontext())
    answer: Schema = TestClient(app).get("/openapi.json").json()
    return answer


def routes(document: Schema) -> str:
    """Lists the paths, and where each answers for a model by name."""
    rows = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            per_model = method in document["paths"].get(of_model_path(path), {})
            of_model = f"`{of_model_path(path)}`" if per_model else ""
            if not path.startswith(OF_MODEL):
                purpose = operation["description"].partition(";")[0].rstrip(".")
                rows.append((f"[`{name}`](#{anchor(name)})", of_model, purpose))
    return "## Routes\n\n" + table(["route", "for a model by name", "what it does"], rows)


def of_model_path(path: str) -> str:
    """Where a route answers for a model by name.

    >>> of_model_path("/embed"), of_model_path("/")
    ('/models/{model}/embed', '/models/{model}')
    """
    return OF_MODEL + path.removesuffix("/")


def anchor(heading: str) -> str:
    """Names a heading as GitHub's links do.

    >>> anchor("POST /v1/models/{model}"), anchor("POST /")
    ('post-v1modelsmodel', 'post-')
    """
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def errors_part() -> str:
    """Lists the tree of errors by status."""
    kinds = sorted(descendants(ClozeError), key=lambda kind: kind.status)
    rows = [
        (str(kind.status), f"`{kind.code}`", f"`{kind.error_type}`", inspect.getdoc(kind) or "")
        for kind in kinds
    ]
    shapes = [(family.routes, *shape_of(family)) for family in (PLAIN, *FAMILIES.values())]
    text = ERRORS_HEAD + table(["routes", "answer", "other statuses"], shapes)
    return text + table(["status", "code", "error_type", "when"], rows)


def shape_of(family: Family) -> tuple[str, str]:
    """An error as a family has it, and the statuses that differ from the tree's.

    >>> shape_of(FAMILIES["v2"])
    ('`{"error": "…"}`', '')
    """
    error = NoMask("…", param="inputs[3]")
    body = family.body(error, family.status(error.status))
    changed = [f"{theirs} for {ours}" for ours, theirs in family.statuses.items()]
    return f"`{json.dumps(body, ensure_ascii=False)}`", ", ".join(changed)


def descendants(kind: type[ClozeError]) -> Iterator[type[ClozeError]]:
    """Yields all errors below one, in the order of the tree."""
    for below in kind.__subclasses__():
        yield below
        yield from descendants(below)


def route(name: str, operation: Schema, schemas: dict[str, Schema], per_model: bool) -> str:
    """Describes one route: request, answer, errors."""
    text = f"## {name}\n\n{operation['description']}\n\n"
    if per_model:
        text += f"For a model by name: `{of_model_path(name.partition(' ')[2])}`.\n\n"
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        text += table(["request field", "type", "default", "what it is"], fields(body, schemas))
    responses = operation["responses"]
    right = next(status for status in responses if int(status) < HTTPStatus.BAD_REQUEST)
    content = responses[right].get("content", {})
    if right != "200":
        text += f"Answer: {right}. {responses[right]['description']}.\n\n"
    elif "application/json" in content:
        text += f"Answer: {kind_of(content['application/json']['schema'])}.\n\n"
    statuses = [status for status in responses if status != right]
    return text + (f"Errors: {', '.join(statuses)}.\n\n" if statuses else "")


def fields(schema: Schema, schemas: dict[str, Schema], prefix: str = "") -> Iterator[list[str]]:
    """Yields a row for each field; those of nested parameters under their own full name."""
    required = schema.get("required", ())
    properties = schema["properties"].items()
    for name, field in sorted(properties, key=lambda pair: pair[0] not in required):
        default = "required" if name in required else json.dumps(field.get("default"))
        about = field.get("description", "")
        if "examples" in field:
            about = f"{about} such as `{json.dumps(field['examples'][0])}`".strip()
        nested = next((ref for ref in references(field) if ref.endswith("Parameters")), None)
        kind = "object" if nested else kind_of(field)
        yield [f"`{prefix}{name}`", kind, default.replace("null", ""), about]
        if nested:
            yield from fields(schemas[nested], schemas, f"{prefix}{name}.")


def kind_of(schema: Schema, *, many: bool = False) -> str:
    """Writes a type in words, or the plural of it.

    >>> kind_of({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})
    'integer from 1'
    >>> kind_of({"type": "array", "items": {"type": "array", "items": {"type": "string"}}})
    'list of lists of strings'
    """
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{anchor(name)})"
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        kinds = [kind_of(each, many=many) for each in choices if each.get("type") != "null"]
        return ", or ".join(dict.fromkeys(kinds))
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
        return " or ".join(f"`{json.dumps(value)}`" for value in values)
    plural = "s" if many else ""
    if schema.get("type") == "array":
        inner = kind_of(schema["items"], many=True)
        return f"list{plural} of ({inner})" if ", or " in inner else f"list{plural} of {inner}"
    least = f" from {schema['minimum']:g}" if "minimum" in schema else ""
    return f"{schema.get('type', 'value')}{plural}{least}"


def references(node: object) -> Iterator[str]:
    """Yields the names of the schemas that a part of the document refers to."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def shapes(document: Schema) -> str:
    """Describes the objects that requests and answers are made of."""
    schemas: dict[str, Schema] = document["components"]["schemas"]
    text = "## Shapes\n\n"
    for name, schema in schemas.items():
        if not name.endswith(("Body", "Parameters", "ErrorAnswer", "OpenAIError")):
            rows = ([row[0], row[1], row[3]] for row in fields(schema, schemas))
            text += f"### {name}\n\n{schema['description']}\n\n"
            text += table(["field", "type", "what it is"], rows)
    return text


PAGES: Final[dict[str, Callable[[], str]]] = {
    "settings.md": settings_page,
    "http.md": http_page,
    "metrics.md": metrics_page,
    "clients.md": clients.page,
    "../deploy/monitoring/dashboard.json": dashboard.page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page().rstrip() + "\n")
