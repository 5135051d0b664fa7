CREATE OR REPLACE VIEW ropewalk.alarm AS
SELECT
    time,
    run_id,
    JSONExtractString(body, 'alarm_id') AS alarm_id,
    JSONExtractString(body, 'model') AS model,
    JSONExtractInt(body, 'model_version') AS model_version,
    JSONExtractString(body, 'signal') AS signal,
    parseDateTime64BestEffort(JSONExtractString(body, 'changed_at'), 3, 'UTC') AS changed_at,
    parseDateTime64BestEffort(JSONExtractString(body, 'detected_at'), 3, 'UTC') AS detected_at,
    JSONExtractInt(body, 'num_requests') AS num_requests,
    JSONExtractFloat(body, 'statistic') AS statistic,
    JSONExtractFloat(body, 'threshold') AS threshold,
    JSONExtractFloat(body, 'false_alarm_rate') AS false_alarm_rate,
    JSONExtractFloat(body, 'baseline_mean') AS baseline_mean,
    JSONExtractFloat(body, 'current_mean') AS current_mean,
    JSONExtractString(body, 'detail') AS detail
FROM ropewalk.event
WHERE type = 'monitoring.alarm_raised'
