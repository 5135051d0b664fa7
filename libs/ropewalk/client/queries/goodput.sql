-- Where the seconds of every training went, and which share of them were steps; the newest account of each run.
SELECT
    run_id,
    round(newest.wall_s, 1) AS wall_s,
    round(newest.step_s / newest.wall_s, 3) AS productive,
    round(newest.data_s, 1) AS data_s,
    round(newest.checkpoint_s, 1) AS checkpoint_s,
    round(newest.compile_s, 1) AS compile_s,
    round(newest.restart_s, 1) AS restart_s,
    round(newest.replay_s, 1) AS replay_s,
    round(newest.evaluate_s, 1) AS evaluate_s,
    round(newest.idle_s, 1) AS idle_s,
    round(newest.mfu, 3) AS mfu,
    round(newest.gemm_mfu, 3) AS gemm_mfu
FROM (SELECT * FROM ropewalk.goodput ORDER BY time DESC LIMIT 1 BY run_id) AS newest
ORDER BY run_id
