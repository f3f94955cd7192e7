"""Use cases: load, ask the domain, save, record an event. Nothing of gRPC, nothing of SQL."""
