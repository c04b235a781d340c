from django.db import migrations, models

import apps.orgs.models


def give_keys(apps_then, _editor):
    project = apps_then.get_model("orgs", "Project")
    for pk in project.objects.values_list("pk", flat=True):
        project.objects.filter(pk=pk).update(ping_key=apps.orgs.models.new_ping_key())


class Migration(migrations.Migration):
    dependencies = [("orgs", "0002_faces")]
    operations = [
        migrations.AddField("project", "ping_key", models.CharField(max_length=22, null=True)),
        migrations.RunPython(give_keys, migrations.RunPython.noop),
        migrations.AlterField(
            "project",
            "ping_key",
            models.CharField(default=apps.orgs.models.new_ping_key, editable=False, max_length=22, unique=True),
        ),
    ]
