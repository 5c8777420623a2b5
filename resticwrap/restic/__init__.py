"""The one door to restic: its commands, its typed messages, its exit codes, its tags, and a reader of its trees."""
