"""Django helpers that know no noun of ours; the embedded servers; `manage.py up`."""
