"""One module a noun. A view reads what was sent, calls a service or selector, and shows what came of it."""
