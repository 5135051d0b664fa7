-- Where the seconds of each training went, as often as it was told; the last row of a run is the whole of it.
CREATE OR REPLACE VIEW ropewalk.goodput AS
SELECT
    time,
    run_id,
    type = 'training.completed' AS is_complete,
    JSONExtractFloat(body, 'account', 'wall_s') AS wall_s,
    JSONExtractFloat(body, 'account', 'step_s') AS step_s,
    JSONExtractFloat(body, 'account', 'data_s') AS data_s,
    JSONExtractFloat(body, 'account', 'checkpoint_s') AS checkpoint_s,
    JSONExtractFloat(body, 'account', 'compile_s') AS compile_s,
    JSONExtractFloat(body, 'account', 'restart_s') AS restart_s,
    JSONExtractFloat(body, 'account', 'replay_s') AS replay_s,
    JSONExtractFloat(body, 'account', 'evaluate_s') AS evaluate_s,
    JSONExtractFloat(body, 'account', 'idle_s') AS idle_s,
    JSONExtractFloat(body, 'account', 'mfu') AS mfu,
    JSONExtractFloat(body, 'account', 'gemm_mfu') AS gemm_mfu
FROM ropewalk.event
WHERE type IN ('training.progressed', 'training.completed') AND JSONExtractFloat(body, 'account', 'wall_s') > 0
