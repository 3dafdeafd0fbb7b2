"""Models that are loaded once, and applications that are built around them in no time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from server.http.app import create_app
from server.http.context import Service
from server.inference.model_registry import Phase, Registry
from server.inference.pipeline import Resources
from server.settings import Settings

Build = Callable[..., FastAPI]


@pytest.fixture(scope="session")
def loaded(all_models: Path) -> Iterator[Registry]:
    """All models, running; the default model answers at the root."""
    registry, settings = Registry(), Settings()
    asyncio.run(registry.load(all_models, "cloze-small-en", lambda: Resources(settings, settings)))
    yield registry
    asyncio.run(registry.drain())


@pytest.fixture
def build(loaded: Registry) -> Build:
    """Builds applications of `create_app`: `build(queue_tokens=1000)`; `only=` some of the models.

    They differ from the server's own only in that they find their models loaded.
    """

    def built(*, only: Collection[str] | None = None, **settings: Any) -> FastAPI:
        service = Service.of(Settings(**settings))
        names = loaded.pipelines if only is None else only
        pipelines = {name: loaded.pipelines[name] for name in names}
        default = loaded.default if only is None else service.settings.default_model
        service.registry.serve(pipelines, default, service.settings.aliases)
        service.registry.phase = Phase.READY
        return create_app(service, lambda _app: nullcontext())

    return built
