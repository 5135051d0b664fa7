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
TTL toDateTime(time) + INTERVAL 90 DAY
