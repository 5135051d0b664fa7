-- The 20 slowest requests, with the beginning of the prompt.
SELECT time, request_id, model, model_version, status, round(latency_ms, 1) AS latency_ms, round(ttft_ms, 1) AS ttft_ms,
    prompt_tokens, completion_tokens, substringUTF8(prompt, 1, 60) AS prompt_begins
FROM ropewalk.request
ORDER BY latency_ms DESC
LIMIT 20
