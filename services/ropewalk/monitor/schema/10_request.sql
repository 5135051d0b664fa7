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
SETTINGS non_replicated_deduplication_window = 10000
