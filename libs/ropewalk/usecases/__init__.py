"""One job that is baked into a model: its answers against a schema and a reference, and what a request costs.

Values only, but for `tariff`, which reads price tables, and `folder`, which writes and reads task folders: files of
examples are read in `corpus`.
"""
