"""A model folder in, a checkpoint in Hugging Face's format out."""
