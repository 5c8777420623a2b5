"""Real servers for tests and benchmarks: SeaweedFS for S3, an OSS server in front of it, a TCP proxy that breaks."""
