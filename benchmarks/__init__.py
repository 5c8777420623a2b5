"""How fast `rw` is beside bare restic, in the same run and on the same data: `make bench`."""
