"""Who may do what on the bus. A user has no right that is not in these tables."""

SERVICE_USERS = ("ingest", "preprocessing", "trainer", "checkpoint-manager", "evaluator", "monitor", "serving")
SUPERVISOR = "supervisor"
OPERATOR = "operator"
USERS = (*SERVICE_USERS, SUPERVISOR, OPERATOR)
