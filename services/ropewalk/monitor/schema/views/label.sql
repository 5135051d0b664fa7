-- The first word with a rater's number counts, as everywhere: one that came twice is no second label.
CREATE OR REPLACE VIEW ropewalk.label AS
SELECT
    time, task_set_id, version, sheet_id, item_id, criterion, scale, rater, grade, shown_first, seconds, kind, position,
    (task_set_id, rater, position) IN (
        SELECT task_set_id, rater, position FROM ropewalk.label_said WHERE withdraws
    ) AS withdrawn
FROM ropewalk.label_said
WHERE NOT withdraws
ORDER BY sequence
LIMIT 1 BY task_set_id, rater, position
