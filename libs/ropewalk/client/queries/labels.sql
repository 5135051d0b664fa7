-- Who has labelled how much of which task set, at what pace, and how many labels were taken back or "cannot be judged".
SELECT
    task_set_id,
    version,
    rater,
    countIf(NOT withdrawn) AS labels,
    countIf(withdrawn) AS taken_back,
    countIf(NOT withdrawn AND grade = -1) AS cannot_judge,
    round(quantileExactIf(0.5)(seconds, NOT withdrawn), 1) AS median_s,
    max(time) AS newest
FROM ropewalk.label
GROUP BY task_set_id, version, rater
ORDER BY task_set_id, version, rater
