CREATE OR REPLACE VIEW ropewalk.alarm AS
SELECT
    raised.time AS time,
    raised.run_id AS run_id,
    JSONExtractString(body, 'alarm_id') AS alarm_id,
    greatest(1, JSONExtractInt(body, 'number')) AS number,
    JSONExtractString(body, 'model') AS model,
    JSONExtractInt(body, 'model_version') AS model_version,
    JSONExtractString(body, 'signal') AS signal,
    multiIf(ended.cleared_at >= time, 'cleared', noted.acknowledged_at >= time, 'acknowledged', 'open') AS status,
    parseDateTime64BestEffort(JSONExtractString(body, 'changed_at'), 3, 'UTC') AS changed_at,
    parseDateTime64BestEffort(JSONExtractString(body, 'detected_at'), 3, 'UTC') AS detected_at,
    JSONExtractInt(body, 'num_requests') AS num_requests,
    JSONExtractFloat(body, 'statistic') AS statistic,
    JSONExtractFloat(body, 'threshold') AS threshold,
    JSONExtractFloat(body, 'false_alarm_rate') AS false_alarm_rate,
    JSONExtractFloat(body, 'baseline_mean') AS baseline_mean,
    JSONExtractFloat(body, 'current_mean') AS current_mean,
    JSONExtractString(body, 'detail') AS detail,
    if(status = 'cleared', ended.reason, '') AS cleared_because
FROM (SELECT *, JSONExtractString(body, 'alarm_id') AS id FROM ropewalk.event WHERE type = 'monitoring.alarm_raised')
    AS raised
LEFT JOIN (
    SELECT JSONExtractString(body, 'alarm_id') AS id, max(time) AS cleared_at,
        argMax(JSONExtractString(body, 'reason'), time) AS reason
    FROM ropewalk.event
    WHERE type = 'monitoring.alarm_cleared'
    GROUP BY id
) AS ended ON ended.id = raised.id
LEFT JOIN (
    SELECT JSONExtractString(body, 'alarm_id') AS id, max(time) AS acknowledged_at
    FROM ropewalk.event
    WHERE type = 'monitoring.alarm_acknowledged'
    GROUP BY id
) AS noted ON noted.id = raised.id
