"""A `Checkpoint` in, an ONNX graph of packed and read rows out; knows nothing of files."""
