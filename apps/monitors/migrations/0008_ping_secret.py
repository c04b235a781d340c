import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("monitors", "0007_groundwork")]
    operations = [
        migrations.AddField("check", "ping_secret", models.UUIDField(null=True, editable=False)),
        migrations.RunSQL("UPDATE monitors_check SET ping_secret = gen_random_uuid()", migrations.RunSQL.noop),
        migrations.AlterField(
            "check", "ping_secret", models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
        ),
    ]
