"""HTTP requests in, answers of BERT models out."""

__version__ = "0.1.0"
