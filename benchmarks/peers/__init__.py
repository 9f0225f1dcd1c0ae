"""Other job queues on the same Redis, each in an environment of its own: ``python -m benchmarks.peers --help``.

What runs in those environments (one file for each queue, `client` and `benchmarks.tasks`) needs nothing of jobkit.
"""
