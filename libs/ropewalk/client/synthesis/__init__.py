"""Variants of a task's examples that a model writes, when somebody asks for them. They are marked for ever."""
