-- What every item of an evaluation scored, as long as the database lives. One that is said again takes the old one's place.
CREATE TABLE IF NOT EXISTS ropewalk.scored_item (
    time DateTime64(3, 'UTC'),
    run_id LowCardinality(String),
    checkpoint_id LowCardinality(String),
    look Int64,
    metric LowCardinality(String),
    task_set LowCardinality(String),
    scorer LowCardinality(String),
    item_id String,
    cluster_key String,
    num_bytes Int64,
    value Float64,
    first Int64,
    message_id String,
    sequence UInt64,
    row UInt32,
    arrival UInt64,
    INDEX sequence_range sequence TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree
ORDER BY (run_id, checkpoint_id, look, task_set, metric, scorer, first, row)
SETTINGS non_replicated_deduplication_window = 10000, concurrent_part_removal_threshold = 1000000,
    max_parts_to_merge_at_once = 10;

-- Every label, and every word that one is taken back; the view `label` puts both together.
CREATE TABLE IF NOT EXISTS ropewalk.label_said (
    time DateTime64(3, 'UTC'),
    task_set_id LowCardinality(String),
    version Int64,
    sheet_id String,
    item_id String,
    criterion LowCardinality(String),
    scale LowCardinality(String),
    rater LowCardinality(String),
    grade Int64,
    shown_first Int64,
    seconds Float64,
    kind LowCardinality(String),
    position Int64,
    withdraws Bool,
    message_id String,
    sequence UInt64,
    row UInt32,
    arrival UInt64,
    INDEX sequence_range sequence TYPE minmax GRANULARITY 1
) ENGINE = MergeTree
ORDER BY (task_set_id, rater, position, sequence)
SETTINGS non_replicated_deduplication_window = 10000, concurrent_part_removal_threshold = 1000000,
    max_parts_to_merge_at_once = 10;
