"""The flags of `python -m training pretrain` in, a finished or resumed run out."""

import argparse
import itertools
import sys
from dataclasses import replace
from pathlib import Path

import torch

from training.batches import masked_documents
from training.checkpoint import load_encoder, load_pretraining
from training.config import SIZES, named_config, read_config
from training.device import add_device_flags, chosen_device, keep_freed_memory
from training.interruption import INTERRUPTED, Interruption
from training.masking import PairBatch
from training.model import BertForPreTraining
from training.objectives import Objective
from training.optimiser import WeightAverage, make_adamw
from training.options import add_flags, given_flags
from training.pretrain.loop import Intervals, Run, RunBatches
from training.pretrain.recipe import Recipe, read_recipe
from training.pretrain.run_folder import RunFolder, restore
from training.space import check_space, weight_bytes
from training.stored_corpus import DESCRIPTION, Corpus, sha256_of

BETA2 = 0.98  # of AdamW, as RoBERTa's: steps of many tokens
# Sizes of the weights that are on disk at once: three checkpoints, each with two numbers of AdamW
# for every weight and perhaps their mean, and the final one.
WEIGHTS_ON_DISK = 3 * 4 + 1
HELD_OUT_SEED = 0  # the held-out masks are the same in every run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags: where things are, how often to report, and every option of a recipe."""
    parser.add_argument("corpus", type=Path, help="folder that `corpus` wrote")
    parser.add_argument("out", type=Path, help="folder of the run; an earlier run there goes on")
    parser.add_argument("--recipe", dest="recipe_file", type=Path, help="TOML file of options")
    add_device_flags(parser)
    add_flags(parser, Intervals)
    parser.add_argument(
        "--measure-batches",
        type=int,
        default=16,
        help="held-out batches to measure on; 0 where none are",
    )
    add_flags(parser.add_argument_group("recipe (each flag overrides the file)"), Recipe)


def run(arguments: argparse.Namespace) -> None:
    """Train to the end of the recipe; exits with code 3 when a signal stopped it before."""
    keep_freed_memory()
    run = prepare(arguments)
    finished = run.train(Interruption())
    if finished:
        run.folder.save_final(run.result)
    run.folder.draw_curves()
    if not finished:
        print(f"Stopped after step {run.step}; the same command goes on.", file=sys.stderr)
        raise SystemExit(INTERRUPTED)


def prepare(arguments: argparse.Namespace) -> Run:
    """The run that the flags say, new or as its latest checkpoint left it."""
    device = chosen_device(arguments)
    recipe = read_recipe(arguments.recipe_file, given_flags(arguments, Recipe))
    corpus_folder = arguments.corpus
    torch.manual_seed(recipe.seed)
    corpus = Corpus.open(corpus_folder, "train")
    folder = RunFolder(arguments.out, corpus_folder)
    model = start_model(recipe, corpus).to(device)
    optimiser = make_adamw(model, recipe.rate, beta2=BETA2)
    latest = folder.latest()
    average = WeightAverage(model, recipe.average) if recipe.average else None
    step = restore(latest, model, optimiser, average) if latest else 0
    teacher = load_encoder(Path(recipe.teacher)).to(device) if recipe.teacher else None
    objective = Objective(
        model, next_sentence=recipe.next_sentence, distillation=recipe.distillation, teacher=teacher
    )
    run = Run(
        recipe=recipe,
        model=model,
        objective=objective,
        optimiser=optimiser,
        device=device,
        folder=folder,
        batches=RunBatches(corpus, recipe),
        held_out=_held_out(corpus_folder, recipe, arguments.measure_batches),
        intervals=Intervals(**given_flags(arguments, Intervals)),
        average=average,
        step=step,
    )
    if not latest:
        check_space(arguments.out, WEIGHTS_ON_DISK * weight_bytes(model))
    # Last of all, so that a start that is refused leaves nothing behind.
    folder.claim(recipe, sha256_of(corpus_folder / DESCRIPTION), step)
    folder.forget_after(step)
    return run


def start_model(recipe: Recipe, corpus: Corpus) -> BertForPreTraining:
    """The model before the first step: of a named size, or from a checkpoint."""
    if recipe.init in SIZES:
        config = named_config(recipe.init, vocab_size=corpus.vocabulary.size)
        model = BertForPreTraining(config.with_dropout(recipe.dropout))
    else:
        config = read_config(Path(recipe.init))
        model = load_pretraining(Path(recipe.init), fresh_heads=True, dropout=recipe.dropout)
    # Its config.json says the architecture's dropout, which a fine-tuning then uses, and not this
    # run's, which is in run.json.
    model.config = replace(config, pad_token_id=corpus.vocabulary.pad)
    return model


def _held_out(corpus_folder: Path, recipe: Recipe, count: int) -> list[PairBatch]:
    """The first `count` batches of the held-out documents, masked as BERT does."""
    if count == 0:
        return []
    batches = masked_documents(
        Corpus.open(corpus_folder, "held-out"),
        sequence_tokens=recipe.sequence_tokens,
        batch_tokens=recipe.batch_tokens,
        seed=HELD_OUT_SEED,
    )
    return list(itertools.islice(batches, count))
