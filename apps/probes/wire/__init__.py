"""The messages between core and probe workers: jobs to the workers, signed results back.

Formats stay compatible with the previous release. Times are integer epoch milliseconds of the core's clock. All
encoding and decoding of these messages is done here.
"""

from apps.probes.wire.envelope import (
    INGEST_EXCHANGE,
    INGEST_ROUTING_KEY,
    MAX_BODY,
    RESULTS_VERSION,
    Body,
    Envelope,
    Signer,
    parse_body,
    parse_envelope,
    runs_body,
)
from apps.probes.wire.errors import WireError
from apps.probes.wire.jobs import (
    EXPIRES_MS,
    JOBS_VERSION,
    MAX_JOBS,
    TASK,
    Job,
    batch_arguments,
    encode_job,
    parse_job,
    queue_of,
)
from apps.probes.wire.keys import key_id, new_region_key, seal, unseal
from apps.probes.wire.reports import (
    OUR_FAULTS,
    Heartbeat,
    Standstill,
    encode_report,
    encode_trial_answer,
    parse_heartbeat,
    parse_standstill,
    parse_trial_answer,
)
from apps.probes.wire.runs import MAX_RUNS, Run, encode_run, parse_run

__all__ = [
    "EXPIRES_MS",
    "INGEST_EXCHANGE",
    "INGEST_ROUTING_KEY",
    "JOBS_VERSION",
    "MAX_BODY",
    "MAX_JOBS",
    "MAX_RUNS",
    "OUR_FAULTS",
    "RESULTS_VERSION",
    "TASK",
    "Body",
    "Envelope",
    "Heartbeat",
    "Job",
    "Run",
    "Signer",
    "Standstill",
    "WireError",
    "batch_arguments",
    "encode_job",
    "encode_report",
    "encode_run",
    "encode_trial_answer",
    "key_id",
    "new_region_key",
    "parse_body",
    "parse_envelope",
    "parse_heartbeat",
    "parse_job",
    "parse_run",
    "parse_standstill",
    "parse_trial_answer",
    "queue_of",
    "runs_body",
    "seal",
    "unseal",
]
