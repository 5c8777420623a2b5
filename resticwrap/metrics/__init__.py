"""Metrics as Prometheus reads them. The only part that imports prometheus_client."""
