"""What may stand in a sidecar beside the values of V1."""

UNKNOWN = "unknown"
"""What stands in a sidecar where the format wants a name and none is known."""

PLACEHOLDERS = "unknown"
"""A key that a sidecar may have beside those of V1: the dotted places of values that only stand there because V1
requires them. To V1 it is one of the keys that people add."""

DERIVED = "derived"
"""Another one: the places of headline values that repeat a metric which has its own name beside them."""

HYPER_PARAMETERS = "hyper_parameters"
"""A third one: parameters by their dotted names, as a checkpoint has them under this key."""
