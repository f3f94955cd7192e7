"""Measures the speed of the service, each figure beside something that costs nothing but gRPC or the disk."""

import os

# Programs are started with gRPC's threads about, and streams are ended in the midst of all: it would tell.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
