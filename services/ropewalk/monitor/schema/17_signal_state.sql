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
SETTINGS non_replicated_deduplication_window = 10000
