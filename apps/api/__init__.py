"""The REST API: DRF views and serializers. No models and no decisions, which are the services'."""
