"""A folder in, the checkpoints that docs/export.md and docs/sparse.md export out, but tiny ones.

They lie in the places of the names on the hub, so that the pages' commands find them. The Chinese
one is trained for a second: it knows some capitals. The others know nothing.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from tests.fine_tuned import SEED, SIZES, VOCABULARY

TENSORFLOW: Final = Path(__file__).parent / "export" / "data" / "tiny_tf"
CAPITALS: Final = {
    "北京": "中国",
    "东京": "日本",
    "巴黎": "法国",
    "伦敦": "英国",
    "柏林": "德国",
    "开罗": "埃及",
}
SENTENCES: Final = [f"{city}是{country}的首都。" for city, country in CAPITALS.items()]
SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
STEPS: Final = 150
BATCH: Final = 16  # sentences


def make_checkpoints(folder: Path) -> None:
    """Write all of them below `folder`."""
    torch.set_num_threads(1)  # more would only be slower, and the weights others
    torch.manual_seed(SEED)
    bert = folder / "google-bert" / "bert-base-uncased"
    save(bert, transformers.BertForPreTraining(config(VOCABULARY)), VOCABULARY)
    save(folder / "naver" / "splade_v2_distil", transformers.BertForMaskedLM(config(VOCABULARY)))
    characters = [*SPECIAL, *sorted(set("".join(SENTENCES)))]
    chinese = transformers.BertForMaskedLM(config(characters))
    place = folder / "google-bert" / "bert-base-chinese"
    save(place, chinese, characters)
    teach(chinese, transformers.BertTokenizerFast.from_pretrained(place))
    chinese.save_pretrained(place)
    google = folder / "uncased_L-12_H-768_A-12"
    shutil.copytree(TENSORFLOW, google, ignore=shutil.ignore_patterns("expected.npz"))


def config(vocabulary: list[str]) -> Any:
    """A BERT of two layers."""
    return transformers.BertConfig(**SIZES, vocab_size=len(vocabulary))


def save(folder: Path, model: Any, vocabulary: list[str] = VOCABULARY) -> None:
    """Write model and tokenizer as transformers does."""
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer: Any = transformers.BertTokenizerFast.from_pretrained(folder)
    tokenizer.model_max_length = SIZES["max_position_embeddings"]
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def teach(model: Any, tokenizer: Any) -> None:
    """Train on the sentences, of which the city or any one character is hidden."""
    draw = random.Random(SEED)  # noqa: S311 - to be repeatable
    optimizer = torch.optim.AdamW(model.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=STEPS, pct_start=0.2)
    for _ in range(STEPS):
        encoded = tokenizer(draw.choices(SENTENCES, k=BATCH), return_tensors="pt")
        labels = torch.full_like(encoded["input_ids"], -100)
        for row, hidden in enumerate(hidden_places(draw)):
            for place in hidden:
                labels[row, place] = encoded["input_ids"][row, place]
                encoded["input_ids"][row, place] = tokenizer.mask_token_id
        optimizer.zero_grad()
        model(**encoded, labels=labels).loss.backward()
        optimizer.step()
        rate.step()


def hidden_places(draw: random.Random) -> Iterator[tuple[int, ...]]:
    """Yield for each sentence of a batch which tokens are hidden; the first is [CLS]."""
    for _ in range(BATCH):
        yield (1, 2) if draw.random() < 0.5 else (draw.randint(1, len(SENTENCES[0])),)
