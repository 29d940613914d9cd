"""Work on the machines of a dask cluster: connecting, calls, jobs of batch systems.

Knows neither images nor tasks, and needs the extra `cluster`.
"""
