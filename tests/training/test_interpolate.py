"""`python -m training interpolate`: the checkpoint between two."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.small_corpus import write_tokenizer
from training.__main__ import main
from training.checkpoint import load_pretraining, save_checkpoint
from training.config import BertConfig
from training.model import BertForPreTraining

CONFIG = BertConfig(
    vocab_size=23,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=17,
)


Wrong = Callable[[Path], list[str]]  # a folder in, the second checkpoint and flags out


def checkpoint(folder: Path, seed: int, config: BertConfig = CONFIG) -> Path:
    folder.mkdir()
    write_tokenizer(folder)
    torch.manual_seed(seed)
    save_checkpoint(folder / "model", BertForPreTraining(config), folder)
    return folder / "model"


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_weight_lies_between(tmp_path: Path, share: float) -> None:
    ends = checkpoint(tmp_path / "a", 1), checkpoint(tmp_path / "b", 2, CONFIG.with_dropout(0))
    out = tmp_path / "between"
    main(["interpolate", *map(str, ends), str(out), "--share", str(share)])
    first, second, between = (load_file(f / "model.safetensors") for f in (*ends, out))
    assert between.keys() == first.keys()
    for name, values in between.items():
        expected = (1 - share) * first[name].double() + share * second[name].double()
        torch.testing.assert_close(values.double(), expected, atol=1e-7, rtol=1e-6)
    load_pretraining(out)
    assert (out / "tokenizer.json").read_bytes() == (ends[1] / "tokenizer.json").read_bytes()
    assert (out / "1_Pooling" / "config.json").is_file()


def other_shape(folder: Path) -> list[str]:
    wider = checkpoint(folder / "b", 2, replace(CONFIG, intermediate_size=24))
    return [str(wider)]


def other_tokenizer(folder: Path) -> list[str]:
    other = checkpoint(folder / "b", 2)
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text.replace('"lowercase": true', '"lowercase": false'))
    return [str(other)]


def no_share(folder: Path) -> list[str]:
    return [str(checkpoint(folder / "b", 2)), "--share", "1.5"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (other_shape, "different shapes"),
        (other_tokenizer, "different tokenizers"),
        (no_share, "between 0 and 1"),
    ],
)
def test_what_has_nothing_between_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: Wrong, message: str
) -> None:
    first = checkpoint(tmp_path / "a", 1)
    second, *flags = wrong(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["interpolate", str(first), second, str(tmp_path / "out"), *flags])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
