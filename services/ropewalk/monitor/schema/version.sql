CREATE DATABASE IF NOT EXISTS ropewalk ENGINE = Atomic;
-- One row per migration that was applied to the end; two monitors may both have applied it.
CREATE TABLE IF NOT EXISTS ropewalk.schema_version (
    version UInt32,
    name String,
    applied_at DateTime('UTC') DEFAULT now()
) ENGINE = ReplacingMergeTree
ORDER BY version
SETTINGS concurrent_part_removal_threshold = 1000000, max_parts_to_merge_at_once = 10;
