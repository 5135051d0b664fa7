-- Snapshots of versions that nobody asks any more go with their last requests.
ALTER TABLE ropewalk.watch_state ADD COLUMN IF NOT EXISTS saved_at DateTime DEFAULT now()
