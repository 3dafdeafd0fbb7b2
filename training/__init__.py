"""Text in, a BERT checkpoint in Hugging Face's format out; knows nothing of server or export."""
