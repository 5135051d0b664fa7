-- What else the seconds of a step went into, and whether a checkpoint was being written meanwhile.
ALTER TABLE ropewalk.train_step
    ADD COLUMN IF NOT EXISTS compile_s Float64 DEFAULT 0 AFTER checkpoint_s,
    ADD COLUMN IF NOT EXISTS evaluate_s Float64 DEFAULT 0 AFTER compile_s,
    ADD COLUMN IF NOT EXISTS other_s Float64 DEFAULT 0 AFTER evaluate_s,
    ADD COLUMN IF NOT EXISTS saving Bool DEFAULT false AFTER other_s;
