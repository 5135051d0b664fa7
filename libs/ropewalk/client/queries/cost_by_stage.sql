-- CPU seconds, wall seconds and estimated cost of every stage of every run.
SELECT
    run_id, stage, count() AS times,
    round(sum(seconds), 1) AS seconds,
    round(sum(cpu_seconds), 1) AS cpu_seconds,
    round(sum(usd), 6) AS usd
FROM ropewalk.cost
GROUP BY run_id, stage
ORDER BY run_id, min(time)
