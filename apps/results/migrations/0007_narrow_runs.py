from django.db import migrations

COLUMNS = """
    check_id, slot, revision, duration_ms, certificate_id, dns_ms, connect_ms, tls_ms, first_byte_ms, started_after_ms,
    recorded_after_s, region_id, verdict, code, reason, facts
"""
# Wide columns first: no byte is lost between them.
CREATE = """
CREATE TABLE narrow_runs (
    check_id uuid NOT NULL,
    slot bigint NOT NULL,
    revision integer NOT NULL,
    duration_ms integer NOT NULL,
    recorded_after_s integer NOT NULL,
    certificate_id integer,
    dns_ms real,
    connect_ms real,
    tls_ms real,
    first_byte_ms real,
    started_after_ms smallint NOT NULL,
    region_id smallint NOT NULL,
    verdict smallint NOT NULL CHECK (verdict BETWEEN 0 AND 3),
    code smallint,
    reason text,
    facts jsonb,
    PRIMARY KEY (check_id, slot, region_id)
) PARTITION BY RANGE (slot)
"""
MOVE = f"""
DO $$
DECLARE
    part text;
    starts bigint;
BEGIN
    FOR part IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'check_runs'::regclass LOOP
        starts := (extract(epoch FROM to_date(right(part, 8), 'YYYYMMDD')) * 1000)::bigint;
        EXECUTE format('ALTER INDEX %I RENAME TO %I', part || '_pkey', part || '_wide_pkey');
        EXECUTE format('ALTER TABLE %I RENAME TO %I', part, part || '_wide');
        EXECUTE format('CREATE TABLE %I PARTITION OF narrow_runs FOR VALUES FROM (%s) TO (%s)', part, starts, starts + 86400000);
        EXECUTE format(
            'INSERT INTO %I ({COLUMNS}) SELECT check_id, slot, revision, duration_ms, certificate_id, dns_ms, connect_ms, '
            'tls_ms, first_byte_ms, greatest(-32768, least(started_after_ms, 32767)), recorded_after_s, '
            'region_id, verdict, code, reason, facts FROM %I', part, part || '_wide');
    END LOOP;
    DROP TABLE check_runs;
    ALTER TABLE narrow_runs RENAME TO check_runs;
    ALTER INDEX narrow_runs_pkey RENAME TO check_runs_pkey;
END $$
"""  # noqa: S608  # literals


class Migration(migrations.Migration):
    """A dozen bytes a run. Rewrites the runs of the last days: before the first release, where few have any."""

    dependencies = [("results", "0006_packed")]
    operations = [migrations.RunSQL(CREATE), migrations.RunSQL(MOVE)]
