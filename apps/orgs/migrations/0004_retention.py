from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orgs", "0003_ping_keys")]
    operations = [
        # A default that the database keeps: no row is rewritten.
        migrations.AddField("project", "retention_days", models.IntegerField(db_default=90, default=90)),
        migrations.AddConstraint(
            "project",
            models.CheckConstraint(condition=models.Q(retention_days__gte=3, retention_days__lte=3650), name="project_retention"),
        ),
    ]
