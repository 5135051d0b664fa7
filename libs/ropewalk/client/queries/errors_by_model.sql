-- Failed requests by model version, status and reason.
SELECT model, model_version, status, error, count() AS requests, max(time) AS last
FROM ropewalk.inference
WHERE status >= 400
GROUP BY model, model_version, status, error
ORDER BY requests DESC
