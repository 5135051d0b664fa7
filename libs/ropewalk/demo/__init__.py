"""The demo: the whole chain on the embedded stack, with a worker killed on the way and a drift at the end.

`kill` decides whom to kill and when, `prompts` writes the traffic, `load` sends it, `progress` tells of it, `verdict`
says whether all went well, `flow` does it in order.
"""
