from django.db import migrations

NAME = "Roll up"


def add(apps, _editor):
    interval = apps.get_model("django_celery_beat", "IntervalSchedule")
    task = apps.get_model("django_celery_beat", "PeriodicTask")
    every, _ = interval.objects.get_or_create(every=30, period="seconds")
    task.objects.get_or_create(name=NAME, defaults={"task": "pipeline.roll_up", "interval": every, "expire_seconds": 30})


def remove(apps, _editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [("pipeline", "0001_periodic_tasks")]
    operations = [migrations.RunPython(add, remove)]
