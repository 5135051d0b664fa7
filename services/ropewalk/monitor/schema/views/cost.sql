CREATE OR REPLACE VIEW ropewalk.cost AS
SELECT
    time,
    run_id,
    JSONExtractString(body, 'stage') AS stage,
    JSONExtractInt(body, 'epoch') AS epoch,
    JSONExtractFloat(body, 'seconds') AS seconds,
    JSONExtractFloat(body, 'cpu_seconds') AS cpu_seconds,
    JSONExtractFloat(body, 'usd') AS usd,
    JSONExtractFloat(body, 'usd_per_cpu_hour') AS usd_per_cpu_hour,
    JSONExtractFloat(body, 'gpu_seconds') AS gpu_seconds,
    JSONExtractString(body, 'gpu_kind') AS gpu_kind,
    JSONExtractFloat(body, 'usd_per_gpu_hour') AS usd_per_gpu_hour
FROM ropewalk.event
WHERE type = 'monitoring.cost_recorded'
