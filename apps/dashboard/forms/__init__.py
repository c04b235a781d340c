"""Forms turn input into arguments of services. They contain no rules: services validate and name the field at fault."""
