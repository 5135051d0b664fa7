CREATE OR REPLACE VIEW ropewalk.inference AS
SELECT * EXCEPT (prompt, completion, message_id, sequence, row, arrival) FROM ropewalk.request
