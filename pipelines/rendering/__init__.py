"""The rendered domain: 3D scenes drawn by seed, rendered under the ten capture conditions."""
