-- Tokens generated per second, by minute, and what one stream got of it.
SELECT
    toStartOfMinute(time) AS minute,
    sum(completion_tokens) AS tokens,
    round(sum(completion_tokens) / greatest(1, dateDiff('millisecond', min(time), max(time)) / 1000), 1) AS tokens_per_s,
    round(sum(completion_tokens) / (sum(latency_ms) / 1000), 1) AS tokens_per_s_of_one_stream
FROM ropewalk.inference
WHERE completion_tokens > 0
GROUP BY minute
ORDER BY minute DESC
LIMIT 60
