"""One module a route, or a family of routes that one kind of client calls."""
