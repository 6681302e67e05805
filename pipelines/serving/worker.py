"""What a replica does, without Ray: threads harmonize a picture each and share the network."""

from __future__ import annotations

from typing import cast

import cv2
import torch

from charmnet.encoded_pictures import harmonize_encoded
from charmnet.errors import DataError, WeightsError
from charmnet.methods import HarmonizationMethod
from pipelines.runtime.memory import keep_freed_memory
from pipelines.serving.batching import BatchedMethod, PixelRoom
from pipelines.serving.requests import Answer, Job, Problem, problem_of_data


class PictureWorker:
    """A model for several threads.

    Args:
        method: the model.
        batch: pictures that the network is given at a time, at most.
        pixels: pixels of the pictures that are decoded at a time, at most.
        device: device to work on.
    """

    def __init__(
        self, method: HarmonizationMethod, batch: int, pixels: int, device: torch.device | str = "cpu"
    ) -> None:
        cv2.setNumThreads(0)  # replicas and their threads are the parallelism
        keep_freed_memory()
        self._device = device
        self._batched = BatchedMethod(method.for_inference(device), batch)
        self._room = PixelRoom(pixels)

    def harmonize(self, job: Job) -> Answer | Problem:
        """Return the file that `charmnet harmonize` writes, or why there is none."""
        try:
            with self._room.holding(job.pixels):
                result = harmonize_encoded(
                    cast(HarmonizationMethod, self._batched),
                    job.composite,
                    job.mask,
                    job.out_name,
                    job.adjustment,
                    self._device,
                )
        except DataError as error:
            return problem_of_data(error)
        except WeightsError as error:
            return Problem(
                500, str(error), "the model", "finite numbers", "have the server started with another model"
            )
        return Answer(result.data, result.warnings, self._batched.last_batch)

    def close(self) -> None:
        """End the network's thread."""
        self._batched.close()
