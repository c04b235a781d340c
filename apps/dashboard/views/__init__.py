"""One module per domain object. A view looks up project and role, calls a selector or service, renders a template."""
