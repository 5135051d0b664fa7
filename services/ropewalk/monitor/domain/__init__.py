"""The rules of the monitor: what is measured on a request, when a signal has left its baseline, what a row holds.

No I/O, no clock; the only randomness breaks ties and is derived from the id of the request, so that a replay of
the same requests gives the same alarms bit for bit.
"""
