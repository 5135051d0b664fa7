"""The tensors of NVIDIA's vLLM backend, which this backend copies so that one client speaks to both.

`structured_outputs` in `sampling_parameters` is that backend's, too: JSON as text, `{"json": <schema>}` or
`{"json_object": true}`. Our extensions travel there too: `return_token_ids`, `return_logprob_mean`, `prompt_token_ids`
(instead of the text), `marks` (the characters [begin, end) of the text at which special tokens are meant; elsewhere
they are ordinary characters), `pulse`: answer at once how the engine is, and `cancel`: the id of an earlier request on
the same gRPC stream that shall end now. Cancelling the stream itself works too, but makes Triton 2.51 keep the model
for ever when the cancel meets the final response.
"""

REFUSED = "invalid request: "  # an error message that goes on with this names a fault of the request
SCHEMA = "structured_outputs.json"  # a fault of the schema begins with this
FAILED = "failed request: "  # something went wrong with this request; the model serves on
INPUTS = (
    ("text_input", "TYPE_STRING", False),
    ("stream", "TYPE_BOOL", True),
    ("sampling_parameters", "TYPE_STRING", True),
    ("exclude_input_in_output", "TYPE_BOOL", True),
    ("return_finish_reason", "TYPE_BOOL", True),
    ("return_num_input_tokens", "TYPE_BOOL", True),
    ("return_num_output_tokens", "TYPE_BOOL", True),
)  # name, type, optional
OUTPUTS = (
    ("text_output", "TYPE_STRING"),
    ("finish_reason", "TYPE_STRING"),
    ("num_input_tokens", "TYPE_UINT32"),
    ("num_output_tokens", "TYPE_UINT32"),
    ("token_ids", "TYPE_STRING"),
    ("logprob_mean", "TYPE_FP32"),
)
