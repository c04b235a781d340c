from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("incidents", "0004_worsened")]

    operations = [
        migrations.RemoveConstraint("checkstate", "checkstate_levels_known"),
        migrations.RenameField("checkstate", "told", "last_notified"),
        migrations.RenameField("checkstate", "told_incident", "last_notified_incident"),
        migrations.AddConstraint(
            "checkstate",
            models.CheckConstraint(condition=Q(level__range=(0, 2), last_notified__range=(0, 2)), name="checkstate_levels_known"),
        ),
    ]
