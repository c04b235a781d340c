from django.db import migrations

CREATE = """
CREATE TABLE check_runs (
    check_id uuid NOT NULL,
    slot bigint NOT NULL,
    revision integer NOT NULL,
    started_after_ms integer NOT NULL,
    duration_ms integer NOT NULL,
    recorded_after_s integer NOT NULL,
    certificate_id integer,
    dns_ms real,
    connect_ms real,
    tls_ms real,
    first_byte_ms real,
    region_id smallint NOT NULL,
    verdict smallint NOT NULL CHECK (verdict BETWEEN 0 AND 3),
    code smallint,
    reason text,
    facts jsonb,
    PRIMARY KEY (check_id, slot, region_id)
) PARTITION BY RANGE (slot)
"""


class Migration(migrations.Migration):
    dependencies = [("results", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, "DROP TABLE check_runs")]
