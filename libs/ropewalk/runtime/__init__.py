"""What every service needs and none owns.

`service` is the shell (FastStream broker, logs, drain), `delivery` turns handler outcomes into acks and dead
letters, `stage` runs long work under a lease, `bus` talks to JetStream, `child` runs heavy code in a process.
"""
