"""MySQL and MariaDB, by the client programs of either."""
