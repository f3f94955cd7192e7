"""Transport: protobuf and gRPC in, use cases of `service/` out. Knows no SQL."""
