"""The embedded stack: one supervisor process that starts nats-server, Ray, Triton and the seven services.

`layout` says where files lie, `credentials` and `ports` what is chosen once, `commands` and `env` what each process
is told, `supervisor` keeps them alive, `stack` is what the command line calls. Nothing here knows what a service does.
"""
