"""Named configurations: what `charmnet train --recipe NAME` starts from."""

from pipelines.config.train_config import TrainConfig

RECIPES: dict[str, TrainConfig] = {
    # As the paper's authors released it; docs/departures.md lists what was mended.
    "released": TrainConfig(),
    # For CPUs and first looks: half the width, three times the learning rate, and both options that help a
    # short run (docs/benchmarks.md has what each is worth).
    "small": TrainConfig(
        width=32,
        learning_rate=3e-4,
        domain_statistics=True,
        attention_bias=1.0,
        steps=400,
        validate_every=100,
        checkpoint_every=100,
    ),
    # The supervised baseline on the real domain alone, with its authors' learning rate and batch size.
    "idih": TrainConfig(method="idih", learning_rate=1e-3, batch_size=16),
    # Seconds from start to end: does it run at all?
    "debug": TrainConfig(
        width=8,
        learning_rate=3e-4,
        domain_statistics=True,
        attention_bias=1.0,
        batch_size=4,
        steps=6,
        validate_every=3,
        validate_images=4,
        checkpoint_every=3,
        log_every=2,
        sample_rows=2,
    ),
}


def recipe(name: str) -> TrainConfig:
    """
    Raises:
        ValueError: no such recipe; lists them.
    """
    if name not in RECIPES:
        raise ValueError(f"--recipe {name}: expected one of {', '.join(RECIPES)}")
    return RECIPES[name]
