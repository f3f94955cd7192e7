"""Rules: pure functions and values. No I/O, no clock, no await, no import of ours outside this folder."""
