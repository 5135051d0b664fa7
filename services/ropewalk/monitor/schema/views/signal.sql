-- Older logs have a fact per signal and window.
CREATE OR REPLACE VIEW ropewalk.signal AS
SELECT time, run_id, model, model_version, signal, num_requests, statistic, threshold FROM ropewalk.signal_state FINAL
UNION ALL
SELECT
    time,
    run_id,
    JSONExtractString(body, 'model') AS model,
    JSONExtractInt(body, 'model_version') AS model_version,
    JSONExtractString(body, 'signal') AS signal,
    JSONExtractInt(body, 'num_requests') AS num_requests,
    JSONExtractFloat(body, 'statistic') AS statistic,
    JSONExtractFloat(body, 'threshold') AS threshold
FROM ropewalk.event
WHERE type = 'monitoring.signal_computed'
