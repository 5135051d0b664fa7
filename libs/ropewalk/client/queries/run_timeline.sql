-- Everything that happened, newest first: the last 200 facts of all runs, without signals.
SELECT time, run_id, type, source, substringUTF8(body, 1, 160) AS body_begins
FROM ropewalk.event
WHERE type != 'monitoring.signal_computed'
ORDER BY time DESC
LIMIT 200
