"""The facts that are stored with every measurement."""

import json

from ann_bench.machine import cpu_model, machine_facts


def test_facts_can_be_stored_and_name_the_processor() -> None:
    """Everything is JSON, what cannot be known is null, and the cores that were used are named."""
    facts = machine_facts([0])
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cpu"] == cpu_model() != ""
    assert facts["cpus_used"] == [0]
    assert facts["memory_bytes"] > facts["memory_available_bytes"] > 0
    for name in ("governor", "smt", "caches", "flags", "steal_percent", "load_1m", "kernel"):
        assert name in facts
