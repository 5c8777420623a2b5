"""What `rw` does, one file per verb. Services know ports, never adapters; they return reports, never print."""
