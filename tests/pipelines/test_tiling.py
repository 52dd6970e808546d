"""A network on large pictures: tiles give what the whole gives, and no border shows."""

import pytest
import torch
from torch import nn

from genmodels.models import pix2pix
from genmodels.pipelines import tiling


class Blur(nn.Module):
    """A box of 9x9: it reaches 4 pixels. It counts its calls."""

    multiple, reach, calls = 8, 8, 0

    def forward(self, x):
        self.calls += 1
        assert x.shape[2] % 8 == x.shape[3] % 8 == 0
        return nn.functional.avg_pool2d(x, 9, stride=1, padding=4)[:, :2]


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiling, "TILE", 128)


def whole(network, x, monkeypatch, margin=0):
    with monkeypatch.context() as patch:
        patch.setattr(tiling, "TILE", 1 << 20)
        return tiling.through(network, x, margin)


@pytest.mark.parametrize("margin", [0, 16])
@pytest.mark.parametrize("size", [(129, 300), (128, 136), (513, 65), (400, 391), (6020, 8)])
def test_tiles_give_what_the_whole_gives(size, margin, small_tiles, monkeypatch):
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    network = Blur()
    tiled = tiling.through(network, x, margin)
    assert network.calls > 1
    assert tiled.shape == (1, 2, *size)
    assert torch.allclose(tiled, whole(network, x, monkeypatch, margin), atol=1e-5)


def test_a_u_net_gives_the_same_in_tiles(small_tiles, monkeypatch):
    torch.manual_seed(0)
    network = pix2pix.Generator(levels=4, base_channels=8, max_channels=16).eval()
    x = torch.rand(1, 3, 330, 270) * 2 - 1
    with torch.inference_mode():
        tiled, at_once = tiling.through(network, x), whole(network, x, monkeypatch)
    assert (tiled - at_once).abs().max() < 1e-4  # 1/255 of the range is 8e-3.


def test_where_each_pixel_matters_to_all_tiles_fade_into_each_other(small_tiles):
    class Level(nn.Module):
        """Gives the mean of what it sees: each tile another."""

        multiple, reach = 8, None

        def forward(self, x):
            return x.mean(dim=(2, 3), keepdim=True).expand_as(x)

    x = torch.linspace(0, 1, 600).expand(1, 3, 256, 600)
    made = tiling.through(Level(), x)
    steps = made[0, 0, 0].diff().abs()
    assert made.max() - made.min() > 0.1
    assert steps.max() < 0.01  # No border is seen.


def test_with_a_margin_a_network_sees_the_mirrored_picture_at_its_edge():
    """A box sees zeros beyond the edge of what it is given: a picture of ones must stay one."""
    made = tiling.through(Blur(), torch.ones(1, 3, 40, 56), margin=4)
    assert torch.allclose(made, torch.ones(1, 2, 40, 56))
    ramp = torch.arange(64.0).expand(1, 3, 40, 64)
    first = tiling.through(Blur(), ramp, margin=4)[0, 0, 20, 0]
    assert first == pytest.approx((3 + 2 + 1 + 0 + 0 + 1 + 2 + 3 + 4) / 9)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 9)])
def test_any_size_goes_however_small(size):
    x = torch.rand(1, 3, *size)
    assert tiling.through(Blur(), x).shape == (1, 2, *size)
