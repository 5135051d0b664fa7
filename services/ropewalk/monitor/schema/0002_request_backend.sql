-- The kind of backend that answered, empty where none was reached. Before there were kinds, Triton answered everything.
ALTER TABLE ropewalk.request ADD COLUMN IF NOT EXISTS backend LowCardinality(String)
    DEFAULT if(model_version > 0, 'triton', '') AFTER checkpoint_id;
