-- The tables as the release before numbered migrations made them: see test_migrations.py.

CREATE DATABASE IF NOT EXISTS ropewalk ENGINE = Atomic;

-- One row per inference, with its texts, so that one insert of one block is all or nothing.
-- `sequence` and `message_id` say which message of the stream a row came with, `arrival` in which batch it was stored.
CREATE TABLE IF NOT EXISTS ropewalk.request (
    time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    request_id String,
    trace_id String,
    key_id LowCardinality(String),
    model LowCardinality(String),
    model_version Int64,
    run_id LowCardinality(String),
    checkpoint_id LowCardinality(String),
    route LowCardinality(String),
    status Int64,
    finish_reason LowCardinality(String),
    stream Bool,
    latency_ms Float64,
    ttft_ms Float64,
    prompt_tokens Int64,
    completion_tokens Int64,
    logprob_mean Float64,
    error String,
    prompt String CODEC(ZSTD(3)) TTL toDateTime(time) + INTERVAL 30 DAY,
    completion String CODEC(ZSTD(3)) TTL toDateTime(time) + INTERVAL 30 DAY,
    message_id String,
    sequence UInt64,
    row UInt32,
    arrival UInt64,
    INDEX request_lookup request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX sequence_range sequence TYPE minmax GRANULARITY 1,
    INDEX arrival_range arrival TYPE minmax GRANULARITY 1
) ENGINE = MergeTree
ORDER BY (model, model_version, time)
TTL toDateTime(time) + INTERVAL 180 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS ropewalk.train_step (
    time DateTime64(3, 'UTC'),
    run_id LowCardinality(String),
    attempt Int64,
    step Int64,
    loss Float64,
    grad_norm Float64,
    lr Float64,
    tokens Int64,
    step_s Float64,
    data_s Float64,
    checkpoint_s Float64,
    message_id String,
    sequence UInt64,
    row UInt32,
    arrival UInt64,
    INDEX sequence_range sequence TYPE minmax GRANULARITY 1
) ENGINE = MergeTree
ORDER BY (run_id, step, attempt)
SETTINGS non_replicated_deduplication_window = 10000;

-- Every fact on CONTROL. `type` is short: `data.dataset_published`; `body` is the event as JSON.
CREATE TABLE IF NOT EXISTS ropewalk.event (
    time DateTime64(3, 'UTC'),
    type LowCardinality(String),
    run_id LowCardinality(String),
    id String,
    cause_id String,
    source LowCardinality(String),
    epoch Int64,
    body String CODEC(ZSTD(3)),
    message_id String,
    sequence UInt64,
    row UInt32,
    arrival UInt64,
    INDEX sequence_range sequence TYPE minmax GRANULARITY 1
) ENGINE = MergeTree
ORDER BY (type, time)
SETTINGS non_replicated_deduplication_window = 10000;

-- What could not be stored as it should, with the reason: nothing is dropped silently.
CREATE TABLE IF NOT EXISTS ropewalk.rejected (
    time DateTime64(3, 'UTC'),
    stream LowCardinality(String),
    sequence UInt64,
    row UInt32,
    message_id String,
    reason String,
    body String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree
ORDER BY (stream, sequence, row)
TTL toDateTime(time) + INTERVAL 90 DAY;

-- Snapshots of the watches: `arrival` is the batch up to which the requests are folded in.
CREATE TABLE IF NOT EXISTS ropewalk.watch_state (
    model String,
    model_version Int64,
    arrival UInt64,
    body String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree(arrival)
ORDER BY (model, model_version);

-- Snapshots of versions that nobody asks any more go with their last requests.
ALTER TABLE ropewalk.watch_state ADD COLUMN IF NOT EXISTS saved_at DateTime DEFAULT now();

ALTER TABLE ropewalk.watch_state MODIFY TTL saved_at + INTERVAL 180 DAY;

-- How far each signal was from an alarm. Telemetry may come twice: one row is kept of each.
CREATE TABLE IF NOT EXISTS ropewalk.signal_state (
    time DateTime64(3, 'UTC'),
    run_id LowCardinality(String),
    model LowCardinality(String),
    model_version Int64,
    signal LowCardinality(String),
    num_requests Int64,
    statistic Float64,
    threshold Float64,
    message_id String,
    sequence UInt64,
    row UInt32,
    arrival UInt64,
    INDEX sequence_range sequence TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree
ORDER BY (model, model_version, signal, num_requests)
TTL toDateTime(time) + INTERVAL 180 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW ropewalk.inference AS
SELECT * EXCEPT (prompt, completion, message_id, sequence, row, arrival) FROM ropewalk.request;

CREATE OR REPLACE VIEW ropewalk.inference_text AS
SELECT time, request_id, model, model_version, prompt, completion FROM ropewalk.request;

-- A view and not a materialized one: that would miss rows when the process dies between the two inserts.
CREATE OR REPLACE VIEW ropewalk.inference_1h AS
SELECT
    toStartOfHour(time) AS hour,
    model,
    model_version,
    count() AS requests,
    countIf(status >= 400) AS errors,
    sum(prompt_tokens) AS tokens_in,
    sum(completion_tokens) AS tokens_out,
    quantiles(0.5, 0.95, 0.99)(latency_ms) AS latency_ms_p50_p95_p99,
    quantiles(0.5, 0.95, 0.99)(ttft_ms) AS ttft_ms_p50_p95_p99
FROM ropewalk.request
GROUP BY hour, model, model_version;

CREATE OR REPLACE VIEW ropewalk.cost AS
SELECT
    time,
    run_id,
    JSONExtractString(body, 'stage') AS stage,
    JSONExtractInt(body, 'epoch') AS epoch,
    JSONExtractFloat(body, 'seconds') AS seconds,
    JSONExtractFloat(body, 'cpu_seconds') AS cpu_seconds,
    JSONExtractFloat(body, 'usd') AS usd,
    JSONExtractFloat(body, 'usd_per_cpu_hour') AS usd_per_cpu_hour
FROM ropewalk.event
WHERE type = 'monitoring.cost_recorded';

CREATE OR REPLACE VIEW ropewalk.alarm AS
SELECT
    raised.time AS time,
    raised.run_id AS run_id,
    JSONExtractString(body, 'alarm_id') AS alarm_id,
    greatest(1, JSONExtractInt(body, 'number')) AS number,
    JSONExtractString(body, 'model') AS model,
    JSONExtractInt(body, 'model_version') AS model_version,
    JSONExtractString(body, 'signal') AS signal,
    multiIf(ended.cleared_at >= time, 'cleared', noted.acknowledged_at >= time, 'acknowledged', 'open') AS status,
    parseDateTime64BestEffort(JSONExtractString(body, 'changed_at'), 3, 'UTC') AS changed_at,
    parseDateTime64BestEffort(JSONExtractString(body, 'detected_at'), 3, 'UTC') AS detected_at,
    JSONExtractInt(body, 'num_requests') AS num_requests,
    JSONExtractFloat(body, 'statistic') AS statistic,
    JSONExtractFloat(body, 'threshold') AS threshold,
    JSONExtractFloat(body, 'false_alarm_rate') AS false_alarm_rate,
    JSONExtractFloat(body, 'baseline_mean') AS baseline_mean,
    JSONExtractFloat(body, 'current_mean') AS current_mean,
    JSONExtractString(body, 'detail') AS detail,
    if(status = 'cleared', ended.reason, '') AS cleared_because
FROM (SELECT *, JSONExtractString(body, 'alarm_id') AS id FROM ropewalk.event WHERE type = 'monitoring.alarm_raised')
    AS raised
LEFT JOIN (
    SELECT JSONExtractString(body, 'alarm_id') AS id, max(time) AS cleared_at,
        argMax(JSONExtractString(body, 'reason'), time) AS reason
    FROM ropewalk.event
    WHERE type = 'monitoring.alarm_cleared'
    GROUP BY id
) AS ended ON ended.id = raised.id
LEFT JOIN (
    SELECT JSONExtractString(body, 'alarm_id') AS id, max(time) AS acknowledged_at
    FROM ropewalk.event
    WHERE type = 'monitoring.alarm_acknowledged'
    GROUP BY id
) AS noted ON noted.id = raised.id;

-- Older logs have a fact per signal and window.
CREATE OR REPLACE VIEW ropewalk.signal AS
SELECT time, run_id, model, model_version, signal, num_requests, statistic, threshold FROM ropewalk.signal_state FINAL
UNION ALL
SELECT
    time,
    run_id,
    JSONExtractString(body, 'model') AS model,
    JSONExtractInt(body, 'model_version') AS model_version,
    JSONExtractString(body, 'signal') AS signal,
    JSONExtractInt(body, 'num_requests') AS num_requests,
    JSONExtractFloat(body, 'statistic') AS statistic,
    JSONExtractFloat(body, 'threshold') AS threshold
FROM ropewalk.event
WHERE type = 'monitoring.signal_computed';
