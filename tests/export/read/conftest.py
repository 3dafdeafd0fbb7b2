"""Folders of sentence-transformers for the tests of what reads them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentence_transformers
from sentence_transformers.sentence_transformer.modules import Transformer

Save = Callable[..., Path]
OLD = "sentence_transformers.models."


@pytest.fixture
def sentence_bert(save: Save, tmp_path: Path) -> Callable[..., Path]:
    """A factory of folders saved by sentence-transformers from these modules."""

    def build(*modules: Any, max_tokens: int = 23, **options: Any) -> Path:
        transformer = Transformer(str(save("BertModel")))
        transformer.max_seq_length = max_tokens
        model = sentence_transformers.SentenceTransformer(
            modules=[transformer, *modules], device="cpu", **options
        )
        model.save(str(tmp_path / "sentence"), create_model_card=False)
        return tmp_path / "sentence"

    return build


@pytest.fixture
def old(bert: Path) -> Callable[..., Path]:
    """A factory of folders in the form of sentence-transformers 2."""

    def build(*kinds: str, **pooling: Any) -> Path:
        paths = {"Transformer": "", "Pooling": "1_Pooling"}
        modules = [{"type": OLD + kind, "path": paths.get(kind, f"2_{kind}")} for kind in kinds]
        (bert / "modules.json").write_text(json.dumps(modules))
        (bert / "1_Pooling").mkdir()
        (bert / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        return bert

    return build
