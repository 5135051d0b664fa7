"""The names of the stack's processes. Importing them must cost nothing: `ropewalk status` waits for it."""

SERVICES = ("ingest", "preprocessing", "trainer", "checkpoint-manager", "evaluator", "monitor", "serving")
PROCESSES = ("nats-server", "ray", "triton", *SERVICES)
SUPERVISOR = "supervisor"
SYSTEM_USER = "system"  # of nats-server's own account, who may ask it how it is
OPERATOR = "operator"  # a user of the bus: `admin.access` has it, and would import every message type

# What marks the processes of a stack in their environment.
MARKER = "ROPEWALK_STACK_STATE"
PROCESS_MARKER = "ROPEWALK_STACK_PROCESS"
