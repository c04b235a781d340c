from django.db import migrations

NAME = "Sweep passive checks"


def add(apps, _editor):
    interval = apps.get_model("django_celery_beat", "IntervalSchedule")
    task = apps.get_model("django_celery_beat", "PeriodicTask")
    every, _ = interval.objects.get_or_create(every=1, period="seconds")
    task.objects.get_or_create(name=NAME, defaults={"task": "pipeline.sweep_passive", "interval": every, "expire_seconds": 2})


def remove(apps, _editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [("pipeline", "0002_roll_up")]
    operations = [migrations.RunPython(add, remove)]
