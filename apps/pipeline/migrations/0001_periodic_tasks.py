from django.db import migrations

# name: (task, seconds, expires after seconds). Editable in the admin afterwards; never overwritten.
ENTRIES = {
    "Tick": ("pipeline.tick", 1, 1),
    "Sweep checks": ("pipeline.sweep_checks", 2, 4),
    "Sweep deliveries": ("pipeline.sweep_deliveries", 2, 4),
    "Make partitions": ("pipeline.make_partitions", 3600, 3600),
}


def add(apps, _editor):
    interval = apps.get_model("django_celery_beat", "IntervalSchedule")
    task = apps.get_model("django_celery_beat", "PeriodicTask")
    for name, (path, seconds, expires) in ENTRIES.items():
        every, _ = interval.objects.get_or_create(every=seconds, period="seconds")
        task.objects.get_or_create(name=name, defaults={"task": path, "interval": every, "expire_seconds": expires})


def remove(apps, _editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=ENTRIES).delete()


class Migration(migrations.Migration):
    dependencies = [("django_celery_beat", "0019_alter_periodictasks_options")]
    operations = [migrations.RunPython(add, remove)]
