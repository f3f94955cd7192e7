"""Steps that run by themselves in every server: each takes what is due, a hundred at a time."""
