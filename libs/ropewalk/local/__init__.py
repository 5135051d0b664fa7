"""The embedded stack: one supervisor process that starts nats-server, Ray, Triton and the seven services.

`layout` says where files lie, `credentials` and `ports` what is chosen once, `env` what each process is told,
`broker` is about nats-server, `supervision` keeps everything alive, `stack` is what the command line calls. Nothing
here knows what a service does.
"""
