"""Benchmarks: commands that measure speed, memory and short runs, and the files of their results.

`charmnet bench SUBJECT` runs `update`, `ingest`, `train`, `evaluate`, `growth`, `scaling` and `workers`. Each
has `add_arguments` and `measure`, which returns a `Measurement`, and mostly `draw` for its plot. The others
run as `python -m pipelines.benchmarks.NAME`:

- the update: `gpu_update`, `update_layers`, `update_profile`
- the ingest: `ingest_stream`, `many_tasks`, `peers`, `stalled_consumer`
- a run: `checkpoints`, `memory`, `worker_batch_norms`
- learning: `batch_norm_statistics`, `learning`
- pictures: `color_transfer`, `condition_colors`, `rendering`
"""
