-- The items of every checkpoint's newest judgement where the candidate and what it had to beat differ most.
WITH newest AS (
    SELECT checkpoint_id, max(look) AS look FROM ropewalk.item_score GROUP BY checkpoint_id
)
SELECT
    checkpoint_id,
    task_set,
    metric,
    item_id,
    any(cluster_key) AS cluster_key,
    avgIf(value, scorer = 'candidate') AS candidate,
    avgIf(value, scorer = 'production') AS production,
    candidate - production AS difference
FROM ropewalk.item_score
WHERE (checkpoint_id, look) IN newest
GROUP BY checkpoint_id, task_set, metric, item_id
HAVING countIf(scorer = 'production') > 0
ORDER BY checkpoint_id, task_set, metric, abs(difference) DESC, item_id
LIMIT 10 BY checkpoint_id, task_set, metric
