"""Django helpers without domain knowledge, the web server, the embedded PostgreSQL and Valkey, and `manage.py up`."""
