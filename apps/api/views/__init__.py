"""One module per domain object. A view validates the request, calls a service or selector and serializes the result."""
