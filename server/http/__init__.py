"""HTTP requests in, HTTP answers out; knows routes and shapes, and nothing of tensors."""
