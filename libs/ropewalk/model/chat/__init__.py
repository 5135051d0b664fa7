"""One way from a conversation to token ids, for training, evaluation and serving.

`folder` reads what a tokenizer's folder says about chats; `environment` is transformers' Jinja environment; `marks`
finds the special tokens that the template itself wrote; `answers` finds what the assistant says; `renderer` runs all
of that in a process of its own, because a template is the code of a stranger (`child` is that process, `room` what
it does, `task` what passes between); `encoder` makes ids of the result.

What is promised, and what not:
- The text is that of transformers' `apply_chat_template`, and so are the ids when no message spells a mark.
- A mark is a special token of the tokenizer, or another added token that the template itself spells. Within messages
  marks are ordinary text, cut into the tokens that training cuts it into. Turn signs that are no tokens at all
  (`### User:`) are ordinary text to the model too, and nothing can tell a typed one from the template's.
- A template that looks for words in the messages (a think block, say) may find them there; such tokens count as the
  template's own unless they are special.
- A mark that even a tokenizer without added tokens would make of plain text is refused.
- NVIDIA's vLLM backend takes text only and reads marks by itself: before it, a chat that spells one is refused, and
  the prompt of a completion is read as vLLM reads it.

Importing this package imports nothing, so that a service process stays light.
"""
