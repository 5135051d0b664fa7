"""What a model may be trained on beside the next token: another model's opinion of it (`distill`), or which of two
answers is preferred (`preference`). Both need what that other model said, which `references` computes once.
"""
