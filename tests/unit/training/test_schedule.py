"""Learning-rate schedules."""

from pipelines.training.schedule import learning_rate_factor


def test_linear_decay_is_the_released_policy_with_steps_for_epochs() -> None:
    released = [1.0 - max(0, epoch + 1 - 100) / 101 for epoch in range(200)]
    assert [learning_rate_factor("linear", step, 200) for step in range(200)] == released
    assert {learning_rate_factor("constant", step, 200) for step in range(200)} == {1.0}
