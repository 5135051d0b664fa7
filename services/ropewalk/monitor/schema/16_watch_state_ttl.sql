ALTER TABLE ropewalk.watch_state MODIFY TTL saved_at + INTERVAL 180 DAY
