"""Checkpoints and data sets in, a table of how each is best fine-tuned out."""
