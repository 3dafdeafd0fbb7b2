"""A BERT checkpoint in, a model folder that the server loads out; knows nothing of HTTP."""
