CREATE OR REPLACE VIEW ropewalk.item_score AS
SELECT time, run_id, checkpoint_id, look, metric, task_set, scorer, item_id, cluster_key, num_bytes, value
FROM ropewalk.scored_item FINAL
