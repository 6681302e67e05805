"""What a configuration makes of data sets."""

from __future__ import annotations

from pathlib import Path

from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.runtime.storage import Location
from pipelines.training.build import configured_method, stream_specs
from tests.synthetic_datasets import photograph_rows, scene_rows, write_dataset, write_photographs


def test_jitter_is_of_the_real_domain_alone(tmp_path: Path) -> None:
    datasets = {
        Domain.REAL: write_photographs(Location.of(tmp_path / "real"), photograph_rows(4), 4),
        Domain.RENDERED: write_dataset(Location.of(tmp_path / "rendered"), scene_rows(1), 1),
    }
    config = TrainConfig(method="charmnet", width=4, color_jitter=0.5)
    specs = stream_specs(config, datasets, configured_method(config))
    assert {name: spec.decode_options.color_jitter for name, spec in specs.items()} == {
        "real": 0.5,
        "rendered": 0.0,
    }
