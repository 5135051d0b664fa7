-- What the monitor could not store, and why.
SELECT time, stream, sequence, row, reason, substringUTF8(body, 1, 200) AS body_begins
FROM ropewalk.rejected FINAL
ORDER BY time DESC
LIMIT 100
