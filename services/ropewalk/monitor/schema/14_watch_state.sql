-- Snapshots of the watches: `arrival` is the batch up to which the requests are folded in.
CREATE TABLE IF NOT EXISTS ropewalk.watch_state (
    model String,
    model_version Int64,
    arrival UInt64,
    body String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree(arrival)
ORDER BY (model, model_version)
