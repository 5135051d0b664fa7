-- Alarms, newest first: the signal, when it changed, when that was noticed, and what it means.
SELECT detected_at, changed_at, model, model_version, signal, num_requests, detail
FROM ropewalk.alarm
ORDER BY detected_at DESC
LIMIT 100
