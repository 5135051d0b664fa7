-- Requests and errors per minute, newest first (the last 60 minutes that had any).
SELECT toStartOfMinute(time) AS minute, count() AS requests, countIf(status >= 400) AS errors
FROM ropewalk.inference
GROUP BY minute
ORDER BY minute DESC
LIMIT 60
