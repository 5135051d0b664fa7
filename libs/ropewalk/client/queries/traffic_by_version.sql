-- Who answered: requests, tokens and share of traffic per model version, kind of backend and key.
SELECT
    model, model_version, backend, key_id, count() AS requests,
    round(count() / sum(count()) OVER (), 4) AS share,
    sum(prompt_tokens) AS tokens_in, sum(completion_tokens) AS tokens_out, min(time) AS first, max(time) AS last
FROM ropewalk.inference
GROUP BY model, model_version, backend, key_id
ORDER BY requests DESC
