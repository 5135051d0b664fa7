CREATE OR REPLACE VIEW ropewalk.inference_text AS
SELECT time, request_id, model, model_version, prompt, completion FROM ropewalk.request
