"""Faults caused on purpose, against a running stack, and what came of them.

`acting` plays a drill: precondition, mark in the log, fault, observation, scorecard. One module per drill causes its
fault; `scoring`, `traffic` and `scorecard` decide and know only values; `log` and `stackview` watch; `proxy` cuts
networks; `page` and `files` write the result down.
"""
