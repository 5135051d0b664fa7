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
SETTINGS non_replicated_deduplication_window = 10000
