"""The face for programs: DRF views and serializers, no models, no decisions."""
