"""Pool of earlier outputs of a generator, which its discriminator is shown beside the latest."""

from __future__ import annotations

import torch
from torch import Tensor

from charmnet.errors import WeightsError

POOL_SIZE = 50


class ImagePool:
    """Pool of up to `size` pictures (Shrivastava et al., CVPR 2017).

    Until it is full it keeps what it is given. Then each picture is, with probability 1/2, exchanged for one
    of the pool, which it takes the place of.
    """

    def __init__(self, size: int = POOL_SIZE) -> None:
        self.size = size
        self._images: list[Tensor] = []

    def query(self, images: Tensor) -> Tensor:
        """Return [B,3,H,W] of these pictures and of earlier ones; draws from torch's CPU generator.

        Args:
            images: [B,3,H,W] without gradients.
        """
        # Lists, which cost no halt of a device.
        exchanged = (torch.rand(len(images)) < 0.5).tolist()
        places = torch.randint(self.size, (len(images),)).tolist()
        result = []
        for image, exchange, place in zip(images, exchanged, places, strict=True):
            shown = image
            if len(self._images) < self.size:
                self._images.append(image.clone())
            elif exchange:
                shown, self._images[place] = self._images[place], image.clone()
            result.append(shown)
        return torch.stack(result)

    def state(self) -> Tensor:
        """Return the pictures, [N,3,H,W]; [0] of an empty pool."""
        return torch.stack(self._images) if self._images else torch.zeros(0)

    def load_state(self, state: Tensor, device: torch.device) -> None:
        """Take over what `state` returned.

        Raises:
            WeightsError: it is of another kind.
        """
        if len(state) > self.size or (len(state) and state.ndim != 4):
            raise WeightsError(
                f"an image pool of shape {list(state.shape)}, expected at most {self.size} pictures"
            )
        self._images = [image.to(device, copy=True) for image in state]
