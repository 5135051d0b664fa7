-- A view and not a materialized one: that would miss rows when the process dies between the two inserts.
CREATE OR REPLACE VIEW ropewalk.inference_1h AS
SELECT
    toStartOfHour(time) AS hour,
    model,
    model_version,
    count() AS requests,
    countIf(status >= 400) AS errors,
    sum(prompt_tokens) AS tokens_in,
    sum(completion_tokens) AS tokens_out,
    quantiles(0.5, 0.95, 0.99)(latency_ms) AS latency_ms_p50_p95_p99,
    quantiles(0.5, 0.95, 0.99)(ttft_ms) AS ttft_ms_p50_p95_p99
FROM ropewalk.request
GROUP BY hour, model, model_version
