"""What people type, to what services take. Forms hold no rule: services judge, and name the field."""
