"""An image of any size in a network's square input: resize, pad, crop, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.images.resampling import resize_by_area
from napari_iclsam.models.features import Resampling


@dataclass(frozen=True, slots=True)
class Frame:
    """Where an image lies in a square input: scaled by its longer side, at the top left.

    Attributes
    ----------
    height, width : int
        Of the image, in pixels.
    side : int
        Of the square input, in pixels.
    """

    height: int
    width: int
    side: int

    @property
    def scaled(self) -> tuple[int, int]:
        """Height and width of the image within the square, rounded half up as SAM does."""
        scale = self.side / max(self.height, self.width)
        height = int(self.height * scale + 0.5)
        width = int(self.width * scale + 0.5)
        return max(height, 1), max(width, 1)

    def cells(self, grid: int) -> tuple[int, int]:
        """Rows and columns of a grid over the square that hold a part of the image."""
        height, width = self.scaled
        rows = -(-height * grid // self.side)
        columns = -(-width * grid // self.side)
        return rows, columns

    def to_square(self, rgb: NDArray[np.uint8], resampling: Resampling = "bilinear") -> Tensor:
        """Resize an 8-bit RGB image to `scaled`, (1, 3, h, w) float32, 0..255, not padded."""
        height, width = self.scaled
        if resampling == "area":
            resized = resize_by_area(rgb, (height, width))
        else:
            resized = np.asarray(
                Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
            )
        channels = resized.transpose(2, 0, 1).astype(np.float32)
        return torch.from_numpy(channels)[None]

    def pad(self, pixels: Tensor) -> Tensor:
        """Pad (B, C, h, w) with zeros at the bottom and right to the square."""
        right = self.side - pixels.shape[-1]
        bottom = self.side - pixels.shape[-2]
        return F.pad(pixels, (0, right, 0, bottom))

    def crop_grid(self, grid_map: Tensor) -> Tensor:
        """Drop the cells (..., G, G) that lie in the padding only."""
        rows, columns = self.cells(grid_map.shape[-1])
        return grid_map[..., :rows, :columns]

    def grid_to_image(self, grid_map: Tensor) -> Tensor:
        """Crop a map over the square (B, C, G, G) and resize it bilinearly, (B, C, H, W)."""
        height, width = self.scaled
        if (height, width) == (self.side, self.side):
            return resize(grid_map, (self.height, self.width))
        rows, columns = self.cells(grid_map.shape[-1])
        unit = grid_map.shape[-1] / self.side
        y = _sample_positions(
            self.height,
            height * unit / self.height,
            rows,
            grid_map,
        )
        x = _sample_positions(
            self.width,
            width * unit / self.width,
            columns,
            grid_map,
        )
        return _sample(
            grid_map[..., :rows, :columns],
            y,
            x,
        )

    def image_to_grid(self, image_map: Tensor, grid: int) -> Tensor:
        """Resize a map over the image (B, C, h, w) bilinearly to the grid, (B, C, G, G).

        Cells that lie in the padding only are zero.
        """
        height, width = self.scaled
        # as in `grid_to_image`
        if (height, width) == (self.side, self.side):
            return resize(image_map, (grid, grid))
        rows, columns = self.cells(grid)
        unit = grid / self.side
        y = _sample_positions(rows, 1, height * unit, image_map)
        x = _sample_positions(columns, 1, width * unit, image_map)
        cells = _sample(image_map, y, x)
        return F.pad(cells, (0, grid - columns, 0, grid - rows))

    def logits_to_image(self, logits: Tensor) -> Tensor:
        """Bring mask logits (B, C, g, g) to the image in SAM's two bilinear steps."""
        # cropped between both steps: padding must not bleed into the border of the image
        square = resize(logits, (self.side, self.side))
        height, width = self.scaled
        return resize(square[..., :height, :width], (self.height, self.width))

    def boxes_to_square(self, boxes: NDArray[np.int64]) -> Tensor:
        """Scale boxes (n, 4), x0 y0 x1 y1, from the image's pixels to the square's, float32."""
        height, width = self.scaled
        # one scale for each direction: both sides of `scaled` are rounded
        scale = np.array([width / self.width, height / self.height] * 2)
        return torch.from_numpy((boxes * scale).astype(np.float32))


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B, C, h, w) bilinearly without antialiasing or aligned corners."""
    return (
        x
        if tuple(x.shape[-2:]) == size
        else F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    )


def resize_mask(mask: NDArray[Any], size: tuple[int, int]) -> Tensor:
    """Resize a mask (H, W) by nearest neighbors: (1, 1, h, w) float32."""
    values = np.ascontiguousarray(mask, dtype=np.float32)
    tensor = torch.from_numpy(values)[None, None]
    return F.interpolate(tensor, size=size, mode="nearest")


def _sample_positions(count: int, step: float, extent: float, like: Tensor) -> Tensor:
    """Centres of ``count`` steps from the start of a map of this extent, for `grid_sample`."""
    index = torch.arange(
        count,
        dtype=torch.float32,
        device=like.device,
    )
    centres = (index + 0.5) * step
    return (2 * centres / extent - 1).to(like.dtype)


def _sample(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Sample (B, C, h, w) bilinearly at these rows and columns (units of `grid_sample`).

    Outside, the border is repeated.
    """
    x_positions = columns.expand(len(rows), -1)
    y_positions = rows[:, None].expand(-1, len(columns))
    where = torch.stack([x_positions, y_positions], dim=-1)
    where = where.expand(len(x), -1, -1, -1)
    return F.grid_sample(
        x,
        where,
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
