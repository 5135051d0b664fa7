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
SETTINGS non_replicated_deduplication_window = 10000
