"""An application in, the OpenAPI document of its routes out, as they are."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from server.http.families import PLAIN, Family, family_of
from server.inference.model_registry import AnyTask, Registry
from server.inference.tasks import TASKS
from server.inference.tasks.embed import EMBED
from server.inference.tasks.text_classification import TEXT_CLASSIFICATION

Operation = dict[str, Any]
# Routes that are not named as their task.
_TASK_OF_ROUTE: Final = {
    "text-classification": TEXT_CLASSIFICATION.name,
    "embeddings": EMBED.name,
    "classify": TEXT_CLASSIFICATION.name,
}
_REFERENCE: Final = "#/components/schemas/"


def document(app: FastAPI, registry: Registry | None = None, root_path: str = "") -> dict[str, Any]:
    """Describes the routes; FastAPI's own validation errors never leave the server.

    With the loaded models, examples name one that can answer them wherever one has to be named.
    """
    described = app.openapi()
    # Beside this document, wherever a proxy shows it.
    described["servers"] = [{"url": root_path or "."}]
    schemas: dict[str, Any] = described["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for path, operation in operations(described):
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]
        if "requestBody" in operation:
            operation["requestBody"]["required"] = True  # no route reads an empty body
        _exemplify(path, operation, schemas, registry)
        family = family_of(path)
        if family is not PLAIN:
            operation["responses"] = _errors_as(family, operation["responses"])
            schemas |= _schemas_of(family)
    # What stands behind a type that is described otherwise is referred to by nothing.
    whole = repr(described)
    used = {name: of for name, of in schemas.items() if f"'{_REFERENCE}{name}'" in whole}
    described["components"]["schemas"] = dict(sorted(used.items()))
    return described


def operations(described: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    """Yields each operation of a document with its path."""
    for path, methods in described["paths"].items():
        for operation in methods.values():
            yield path, operation


def _exemplify(
    path: str, operation: Operation, schemas: dict[str, Any], registry: Registry | None
) -> None:
    """Gives a request the example that can be sent as it is: what it must have, and no more."""
    able = [] if registry is None else registry.able(_task_of(path))
    default = registry.default if registry is not None and registry.default in able else ""
    model = default or next(iter(able), "")
    parameters = operation.get("parameters", [])
    for parameter in parameters:
        if parameter["in"] == "path" and model:  # all that a path names is a model
            parameter["example"] = model
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    schema = content["schema"]
    body = schemas[schema["$ref"].removeprefix(_REFERENCE)] if "$ref" in schema else schema
    fields = body.get("properties", {})
    whole = body.get("examples", [{}])[0]
    example = whole or {
        name: fields[name]["examples"][0]
        for name in body.get("required", [])
        if "examples" in fields[name]
    }
    if "{model}" not in path and not default and len(able) > 1:
        example["model"] = model
    content["example"] = example


def _task_of(path: str) -> AnyTask | None:
    name = path.rpartition("/")[2]
    name = _TASK_OF_ROUTE.get(name, name)
    return next((task for task in TASKS if task.name == name), None)


def _errors_as(family: Family, responses: dict[str, Any]) -> dict[str, Any]:
    """The error answers in a family's shape, with its statuses."""
    written: dict[str, Any] = {}
    for status, response in responses.items():
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        if schema.get("$ref") != _REFERENCE + PLAIN.answer.__name__:
            written[status] = response
            continue
        answered = str(family.status(int(status)))
        when = response["description"]
        if answered in written:
            when = f"{written[answered]['description']}; {when[0].lower()}{when[1:]}"
        content = {"schema": {"$ref": _REFERENCE + family.answer.__name__}}
        written[answered] = {"description": when, "content": {"application/json": content}}
    return written


def _schemas_of(family: Family) -> dict[str, Any]:
    schema = family.answer.model_json_schema(ref_template=_REFERENCE + "{model}")
    return {**schema.pop("$defs", {}), family.answer.__name__: schema}
