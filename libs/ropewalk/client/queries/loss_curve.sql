-- Training loss by step of every run, thinned to 200 points a run; a repeated step counts as last taken.
WITH last_step AS (SELECT run_id, max(step) AS last FROM ropewalk.train_step GROUP BY run_id)
SELECT
    run_id,
    max(step) AS up_to_step,
    round(avg(loss), 4) AS mean_loss,
    round(avg(lr), 6) AS mean_lr,
    round(sum(tokens) / greatest(sum(step_s), 0.001)) AS tokens_per_s
FROM (
    SELECT run_id, step, argMax(loss, (attempt, time)) AS loss, argMax(lr, (attempt, time)) AS lr,
        argMax(tokens, (attempt, time)) AS tokens, argMax(step_s, (attempt, time)) AS step_s
    FROM ropewalk.train_step
    GROUP BY run_id, step
) AS taken
JOIN last_step USING (run_id)
GROUP BY run_id, intDiv(step * 200, last + 1)
ORDER BY run_id, up_to_step
