"""A run as a job of a Ray cluster: what is sent, what has become of it, and its exit code."""
