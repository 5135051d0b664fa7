-- The tables of the first release. A folder that it made has no version yet: then nothing here changes anything.

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

-- Parts that merges have replaced are removed by the thread that merges: 128 threads for it keep 25 MB for good.
-- A merge holds buffers for every column of every part that it reads: few parts at a time. Every table needs this.
ALTER TABLE ropewalk.request MODIFY SETTING concurrent_part_removal_threshold = 1000000, max_parts_to_merge_at_once = 10;
ALTER TABLE ropewalk.train_step MODIFY SETTING concurrent_part_removal_threshold = 1000000, max_parts_to_merge_at_once = 10;
ALTER TABLE ropewalk.event MODIFY SETTING concurrent_part_removal_threshold = 1000000, max_parts_to_merge_at_once = 10;
ALTER TABLE ropewalk.rejected MODIFY SETTING concurrent_part_removal_threshold = 1000000, max_parts_to_merge_at_once = 10;
ALTER TABLE ropewalk.watch_state MODIFY SETTING concurrent_part_removal_threshold = 1000000, max_parts_to_merge_at_once = 10;
ALTER TABLE ropewalk.signal_state MODIFY SETTING concurrent_part_removal_threshold = 1000000, max_parts_to_merge_at_once = 10;
