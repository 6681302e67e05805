from __future__ import annotations

from pipelines.benchmarks.step_losses import difference, step_losses


def test_the_same_steps_have_the_same_losses_and_another_loss_is_named() -> None:
    losses, again = (step_losses(2, batch=2, width=4, precision="float32", device="cpu") for _ in range(2))
    assert difference(again, losses) is None
    assert len({step["total"] for step in losses}) == 2

    again[1]["total"] += 1e-6
    assert (found := difference(again, losses)) is not None
    assert found.startswith("step 1: total is ")
    assert difference(losses[:1], losses) == "1 steps, expected 2"
