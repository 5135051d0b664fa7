-- Latency and time to the first token per model version: p50, p95, p99 in milliseconds.
SELECT
    model, model_version, count() AS requests,
    round(quantile(0.5)(latency_ms), 1) AS latency_p50,
    round(quantile(0.95)(latency_ms), 1) AS latency_p95,
    round(quantile(0.99)(latency_ms), 1) AS latency_p99,
    round(quantile(0.5)(ttft_ms), 1) AS ttft_p50,
    round(quantile(0.99)(ttft_ms), 1) AS ttft_p99
FROM ropewalk.inference
WHERE status < 400
GROUP BY model, model_version
ORDER BY model, model_version
