-- The newest state of every signal: an alarm is raised when the statistic reaches the threshold.
SELECT model, model_version, signal, max(num_requests) AS requests,
    round(argMax(statistic, num_requests), 3) AS statistic, round(any(threshold)) AS threshold
FROM ropewalk.signal
GROUP BY model, model_version, signal
ORDER BY model, model_version, statistic DESC
