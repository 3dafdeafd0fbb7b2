"""Items of many requests in, shared batches out. Knows nothing of tensors."""
