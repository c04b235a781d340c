"""One module a noun: each view finds the place, asks a selector or tells a service, and shows a template."""
