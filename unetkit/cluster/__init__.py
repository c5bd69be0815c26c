"""All that is about Dask, and nothing about images: a cluster, and the crew of its workers that take tasks."""
