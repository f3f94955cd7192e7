"""Use cases: load, ask the domain, save, record an event. One class a noun; nothing of gRPC, nothing of SQL."""
