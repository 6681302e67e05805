"""Building blocks without any knowledge of harmonization: storage, Ray, retries, the terminal."""
