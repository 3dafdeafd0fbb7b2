"""`python -m export.restore MODEL CHECKPOINT`: a model folder in, a checkpoint to train on out.

THE FLOW: load_manifest -> open_stored -> weights -> the files of Hugging Face's format -> rename.
The way back of `python -m export`: exact from float32, rounded as the folder is from float16 and
int8. Whatever is wrong ends in one sentence on stderr and exit code 2, with nothing written.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tokenizers import Tokenizer

from export.architectures.registry import ARCHITECTURES, canonical_shapes, class_of
from export.errors import ExportError, told
from export.read.config import EncoderConfig
from export.restore.hugging_face import write_config, write_tokenizer, write_weights
from export.restore.sentence_folder import write_pooling
from export.restore.stored import StoredModel, open_stored
from models.manifest import CARD_FILE, TOKENIZER_FILE, ManifestError, ModelManifest, load_manifest

BAD_INPUT = 2  # exit code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        manifest = restore(options.model, options.checkpoint)
    except (ExportError, ManifestError, OSError) as error:
        print(f"restore: {error}", file=sys.stderr)
        return BAD_INPUT
    kind = class_of(ARCHITECTURES[manifest.architecture.model_type], manifest.heads)
    origin = f"{manifest.name} in {manifest.precision}"
    print(f"{options.checkpoint} ({kind} in float32, from {origin})")
    return 0


def restore(model: Path, out: Path) -> ModelManifest:
    """Write the checkpoint `out`, complete or not at all, and return the manifest it came from.

    Raises:
        ExportError: `out` exists, or the graph is not one of this exporter's.
        ManifestError: the model folder is not what its manifest says.
    """
    if out.exists() or out.is_symlink():
        raise ExportError(f"{out} exists already; choose another folder.")
    if not model.is_dir():
        raise ExportError(f"{model} is not a model folder.")
    with told(model, "read"):
        manifest = load_manifest(model)
        stored = open_stored(model)
        config = _config(manifest, stored)
        labels = len(manifest.labels)
        of_encoder = canonical_shapes(config, manifest.heads, labels=labels, tied=stored.tied)
        of_pooling = manifest.pooling.shapes(config.hidden_size)
        weights = stored.read(of_encoder | of_pooling)
        tokenizer_json = (model / TOKENIZER_FILE).read_text(encoding="utf-8")
        card = (model / CARD_FILE).read_text(encoding="utf-8")
    with told(out, "written"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
            folder = Path(scratch) / "checkpoint"
            folder.mkdir()
            write_weights(folder, {name: weights[name] for name in of_encoder}, config)
            spec = manifest.tokenizer
            write_tokenizer(
                folder,
                tokenizer_json,
                spec,
                max_tokens=manifest.max_tokens,
                truncation_side=manifest.truncation_side,
                segments=config.segments,
            )
            write_config(
                folder,
                config,
                manifest.heads,
                tied=stored.tied,
                pad_id=Tokenizer.from_str(tokenizer_json).token_to_id(spec.pad),
                activation=manifest.activation,
            )
            write_pooling(folder, manifest.pooling, weights, config.hidden_size)
            (folder / CARD_FILE).write_text(_with_origin(card, manifest), encoding="utf-8")
            folder.rename(out)
    return manifest


def _config(manifest: ModelManifest, stored: StoredModel) -> EncoderConfig:
    if manifest.architecture.model_type not in ARCHITECTURES:
        raise ExportError(f"{manifest.architecture.model_type} is no architecture of Cloze's.")
    return EncoderConfig(
        **asdict(manifest.architecture),
        layer_norm_eps=stored.layer_norm_eps,
        labels=manifest.labels,
        multi_label=manifest.multi_label,
        regression=manifest.regression,
    )


def _with_origin(card: str, manifest: ModelManifest) -> str:
    """The model folder's card, its license and sources with it, below what this is now."""
    front, fence, rest = card.partition("\n---\n")
    origin = f"> Restored from the model folder `{manifest.name}` in {manifest.precision}.\n\n"
    return f"{front}{fence}{origin}{rest}" if fence else origin + card


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.restore",
        description="Turn a model folder back into a checkpoint, to fine-tune it or train it on.",
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="such as models/cloze-small-en")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="the folder to create")
    return parser


if __name__ == "__main__":
    sys.exit(main())
