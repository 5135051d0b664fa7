"""What the data services write and the trainer and evaluator read: documents, token shards, the sample order.

`document` is the record of one text or conversation and its file format, `packing` lays documents out as windows,
`shards` reads and writes a dataset version, `order` says which window comes when, `sketch` and
`trained` which documents were seen before. No torch, no network, no clock.
"""
