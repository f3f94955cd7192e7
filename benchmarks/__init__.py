"""Measures the speed of the service, each figure beside something that costs nothing but gRPC or the disk."""
