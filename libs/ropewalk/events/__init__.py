"""The only thing two services know about each other: frozen message types and where they travel.

One module per family. `base` holds the rules of the wire format, `envelope` the CloudEvents attributes
that travel as headers, `streams` which JetStream stream carries which subjects, `registry` every type there is.
This package does not talk to NATS.
"""
