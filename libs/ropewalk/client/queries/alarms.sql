-- Alarms, newest first: the signal, its number, whether it is open, when it changed and was noticed, and what it means.
SELECT detected_at, changed_at, model, model_version, signal, number, status, num_requests, detail
FROM ropewalk.alarm
ORDER BY detected_at DESC
LIMIT 100
