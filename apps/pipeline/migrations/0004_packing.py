from django.db import migrations

# name: (task, seconds)
ENTRIES = {"Pack runs": ("pipeline.pack_runs", 60), "Drop old runs": ("pipeline.drop_old_runs", 3600)}


def add(apps, _editor):
    interval = apps.get_model("django_celery_beat", "IntervalSchedule")
    task = apps.get_model("django_celery_beat", "PeriodicTask")
    for name, (path, seconds) in ENTRIES.items():
        every, _ = interval.objects.get_or_create(every=seconds, period="seconds")
        task.objects.get_or_create(name=name, defaults={"task": path, "interval": every, "expire_seconds": seconds})


def remove(apps, _editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=ENTRIES).delete()


class Migration(migrations.Migration):
    dependencies = [("pipeline", "0003_sweep_passive")]
    operations = [migrations.RunPython(add, remove)]
