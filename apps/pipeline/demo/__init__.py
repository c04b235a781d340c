"""The demo: a target that breaks and heals, a project that watches it, and a past that it never had. All of it is marked."""
