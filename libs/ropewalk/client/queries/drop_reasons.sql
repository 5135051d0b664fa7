-- Why documents were left out of each dataset version: inputs = kept + held out + dropped, by reason.
SELECT
    run_id,
    JSONExtractString(body, 'dataset_version') AS dataset_version,
    reason.1 AS outcome,
    reason.2 AS documents
FROM ropewalk.event
ARRAY JOIN arrayConcat(
    [('kept', JSONExtractInt(body, 'num_kept')), ('held out', JSONExtractInt(body, 'num_held_out'))],
    JSONExtractKeysAndValues(body, 'dropped', 'Int64')
) AS reason
WHERE type = 'data.dataset_published'
ORDER BY time DESC, documents DESC
