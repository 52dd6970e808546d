"""Augmentation of what the discriminator sees, differentiable and without a host synchronisation.

`diff_augment` is DiffAugment (Zhao et al. 2020, arXiv 2006.10738), `AdaptiveAugment` is ADA (Karras
et al. 2020, arXiv 2006.06676); both go on real AND fake images, so that nothing leaks into samples.
`classical_augment` goes on reals only and does leak; it is kept to show that. The pieces take
explicit numbers for every image; these three doors only draw those numbers.

Random numbers come from `rng`, or from torch's global source of the images' device when it is None.
The same source in the same state gives the same augmentation: a loop that resumes exactly, or that
splits a batch, seeds it for each micro-batch.

Departures from ADA's paper:
- flips, quarter turns and whole-pixel shifts are one exact gather, apart from the other warps;
- bicubic up-sampling and a 2x2 box stand for the sym6 wavelet around the bilinear look-up; images
  that draw no warp skip all three, so that p = 0 is the identity, bit for bit;
- reflection repeats the edge pixel;
- image-space filtering, additive noise and cutout, which the paper found not to help, are left out.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POLICY = "color,translation,cutout"


def _require_images(x: Tensor, *, square: bool = False) -> None:
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"images must be [N, 3, H, W], got {list(x.shape)}")
    if square and x.shape[2] != x.shape[3]:
        raise ValueError(f"images must be square to be turned, got {x.shape[2]}x{x.shape[3]}")


def _require_float(x: Tensor) -> None:
    if not x.is_floating_point():
        raise ValueError(f"images must be floating point in [-1, 1], got {x.dtype}")


def jitter_color(x: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Add `brightness`, scale chroma by `saturation`, then all about the mean by `contrast`.

    x [N, 3, H, W], the others [N, 1, 1, 1] (neutral: 0, 1, 1).
    """
    grey = x.mean(1, keepdim=True)
    mean = grey.mean((2, 3), keepdim=True)
    # The three steps written out: one pass over the colours instead of three.
    offset = contrast * (1 - saturation) * grey + (brightness + (1 - contrast) * mean)
    return torch.addcmul(offset, x, contrast * saturation)


def _pick(x: Tensor, index: Tensor) -> Tensor:
    """Pixels x[index] of each image: x [N, C, H, W], index [N, h, w] into H * W -> [N, C, h, w]."""
    picked = x.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, x.shape[1], -1))
    return picked.unflatten(2, index.shape[1:])


def translate(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move each image by whole pixels and fill with zeros. x [N, C, H, W]; down, right int [N]."""
    height, width = x.shape[2:]
    rows = torch.arange(1, height + 1, device=x.device) - down[:, None]
    columns = torch.arange(1, width + 1, device=x.device) - right[:, None]
    # One ring of zeros serves every offset: whatever lies outside reads it.
    rows, columns = rows.clamp(0, height + 1), columns.clamp(0, width + 1)
    index = rows[:, :, None] * (width + 2) + columns[:, None, :]  # [N, H, W]
    return _pick(F.pad(x, (1, 1, 1, 1)), index)


def cut_out(x: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Zero a rectangle whose corner (top, left) may lie outside. x [N, C, H, W]; both int [N]."""
    rows = torch.arange(x.shape[2], device=x.device) - top[:, None]
    columns = torch.arange(x.shape[3], device=x.device) - left[:, None]
    in_rows, in_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    inside = in_rows[:, :, None] & in_columns[:, None, :]  # [N, H, W]
    return x * ~inside[:, None]


def diff_augment(
    x: Tensor,  # Images [N, 3, H, W], floating point in [-1, 1].
    policy: str = POLICY,  # Any of color, translation, cutout, by commas, in order; "" = none.
    rng: torch.Generator | None = None,  # On the images' device; None = torch's global source.
) -> Tensor:
    """DiffAugment (arXiv 2006.10738): x [N, 3, H, W] -> [N, 3, H, W], every image by its own draw.

    color: brightness +-0.5 on the [-1, 1] scale, saturation 0..2, contrast 0.5..1.5. translation:
    up to 1/8 of each side. cutout: half of each side, centred anywhere, so that part may fall
    outside. What is moved in or cut out is 0, mid-grey. Values may leave [-1, 1], as in the paper.
    Raises ValueError for an unknown word in the policy or for anything but RGB images.
    """
    _require_images(x)
    _require_float(x)
    n, (height, width), device = len(x), x.shape[2:], x.device

    def integers(low: int, high: int) -> Tensor:  # Uniform over low ... high, both included.
        return torch.randint(low, high + 1, (n,), device=device, generator=rng)

    for word in policy.split(",") if policy else []:
        if word == "color":
            draws = torch.rand(3, n, 1, 1, 1, dtype=x.dtype, device=device, generator=rng)
            x = jitter_color(x, draws[0] - 0.5, 2 * draws[1], draws[2] + 0.5)
        elif word == "translation":
            down, right = int(height / 8 + 0.5), int(width / 8 + 0.5)
            x = translate(x, integers(-down, down), integers(-right, right))
        elif word == "cutout":
            cut_h, cut_w = int(height / 2 + 0.5), int(width / 2 + 0.5)
            top = integers(0, height - cut_h % 2) - cut_h // 2
            left = integers(0, width - cut_w % 2) - cut_w // 2
            x = cut_out(x, top, left, cut_h, cut_w)
        else:
            raise ValueError(f"policy may name {POLICY}, got {word!r} in {policy!r}")
    return x


def blit(x: Tensor, flip: Tensor, turns: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Mirror left-right, turn by quarters as torch.rot90 does, then shift; edges are reflected.

    x [N, C, R, R] keeps its very values. flip 0 or 1, turns 0 ... 3, down and right: int [N].
    """
    side = x.shape[2]
    pixels = torch.arange(side, device=x.device)

    def centred(shift: Tensor) -> Tensor:  # Source coordinates in half pixels about the centre.
        folded = (pixels - shift[:, None]) % (2 * side)
        return 2 * torch.minimum(folded, 2 * side - 1 - folded) - (side - 1)  # [N, R]

    u, v = centred(down)[:, :, None], centred(right)[:, None, :]
    cosine = ((turns + 1) % 2 * (1 - turns))[:, None, None]  # 1, 0, -1, 0
    sine = (turns % 2 * (2 - turns))[:, None, None]  # 0, 1, 0, -1
    rows = cosine * u + sine * v
    columns = (1 - 2 * flip)[:, None, None] * (cosine * v - sine * u)
    index = (rows + side - 1) // 2 * side + (columns + side - 1) // 2  # [N, R, R]
    return _pick(x, index)


def _rotation(angle: Tensor) -> Tensor:
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([cosine, -sine, sine, cosine], -1).unflatten(-1, (2, 2))  # [N, 2, 2]


def warp(x: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
    """Each output point u of [-1, 1]^2 shows x at linear (u + offset), reflected at the edges.

    x [N, C, R, R], linear [N, 2, 2] and offset [N, 2] in (x, y) order. Four looks into a
    twice-larger image are averaged for each pixel, against aliasing.
    """
    n, channels, side, _ = x.shape
    theta = torch.cat([linear, linear @ offset[:, :, None]], 2)  # [N, 2, 3]
    grid = F.affine_grid(theta, [n, channels, 2 * side, 2 * side], align_corners=False)
    fine = F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
    fine = F.grid_sample(fine, grid, padding_mode="reflection", align_corners=False)
    return F.avg_pool2d(fine, 2)


def shift_color(
    x: Tensor,  # Images [N, 3, H, W]; every other argument is [N, 1, 1, 1].
    brightness: Tensor,  # Added to every colour; neutral 0.
    contrast: Tensor,  # Scale about 0; neutral 1.
    luma_flip: Tensor,  # -1 inverts the luma and keeps the chroma; neutral 1.
    hue: Tensor,  # Turn about the grey axis in radians; neutral 0.
    saturation: Tensor,  # Scale of the chroma; neutral 1.
) -> Tensor:
    """ADA's five colour matrices, in this order, as their one product.

    All but brightness keep the grey axis and its plane, where the product has a closed form. It is
    written as a change of x, so that neutral values give x itself, bit for bit.
    """
    grey = x.mean(1, keepdim=True)
    quarter_turn = (x.roll(1, 1) - x.roll(-1, 1)) / math.sqrt(3)  # The hue rotated by 90 degrees.
    change_luma = (luma_flip - 1) * grey + luma_flip * brightness
    change_chroma = (saturation * hue.cos() - 1) * (x - grey)
    return contrast * (x + change_luma + change_chroma + saturation * hue.sin() * quarter_turn)


class AdaptiveAugment(nn.Module):
    """ADA (arXiv 2006.06676): x [N, 3, R, R] -> the same; its strength p follows D's overfitting.

    The sign of D's logits on reals, averaged, is r_t: near 0 while D generalises, 1 once it knows
    its reals by heart. Each step gives `update` the real logits; every few steps (the paper: 4)
    `adjust` moves p towards r_t = target. All state is in buffers, on the device: `state_dict` is
    complete, fits safetensors and resumes exactly. Reading the tensors `p` and `r_t` as floats
    waits for the device. Under several processes `update` takes the logits of all of them, or their
    p drift apart.
    """

    p: Tensor  # Probability of each augmentation, in [0, 1].
    r_t: Tensor  # Mean sign of D(real) between the last two calls of `adjust`.
    sign_sum: Tensor  # Sum of the signs of the logits since `adjust` ...
    sign_count: Tensor  # ... and how many there were.
    adjusted_at_images: Tensor  # images_seen at the last `adjust`.

    def __init__(
        self,
        target: float = 0.6,  # Mean sign of D(real) that p is steered to, in (-1, 1).
        speed_images: int = 100_000,  # Images in which p can go from 0 to 1; the paper has 500k.
        initial_p: float = 0.0,  # Probability to start from, in [0, 1].
    ) -> None:
        super().__init__()
        if not -1 < target < 1:
            raise ValueError(f"target must lie in (-1, 1), got {target}")
        if speed_images <= 0:
            raise ValueError(f"speed_images must be positive, got {speed_images}")
        if not 0 <= initial_p <= 1:
            raise ValueError(f"initial_p must lie in [0, 1], got {initial_p}")
        self.target = target
        self.speed_images = speed_images
        self.register_buffer("p", torch.tensor(float(initial_p)))
        self.register_buffer("r_t", torch.tensor(0.0))
        self.register_buffer("sign_sum", torch.tensor(0.0))
        self.register_buffer("sign_count", torch.tensor(0.0))
        self.register_buffer("adjusted_at_images", torch.tensor(0))

    @torch.no_grad()
    def update(self, real_logits: Tensor) -> None:
        """Count the signs of D's logits on augmented real images, of any shape."""
        self.sign_sum += real_logits.sign().sum()
        self.sign_count += real_logits.numel()

    @torch.no_grad()
    def adjust(self, images_seen: int) -> None:
        """Move p by the share of `speed_images` seen since the last call; no logits, no move."""
        direction = (self.sign_sum - self.target * self.sign_count).sign()
        images = images_seen - self.adjusted_at_images
        self.p.add_(direction * images / self.speed_images).clamp_(0, 1)
        self.r_t.copy_(self.sign_sum / self.sign_count.clamp(min=1))
        self.sign_sum.zero_()
        self.sign_count.zero_()
        self.adjusted_at_images.fill_(images_seen)

    def forward(
        self,
        x: Tensor,  # Images [N, 3, R, R], floating point in [-1, 1].
        rng: torch.Generator | None = None,  # On the images' device; None = torch's global source.
    ) -> Tensor:
        _require_images(x, square=True)
        _require_float(x)
        n, side, device = len(x), x.shape[2], x.device

        def sometimes(draw: Tensor, p: Tensor = self.p) -> Tensor:  # The draw, or 0.
            return draw * (torch.rand(n, device=device, generator=rng) < p)

        def uniform(*shape: int) -> Tensor:  # In (-1, 1).
            return 2 * torch.rand(*shape, n, device=device, generator=rng) - 1

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, n, device=device, generator=rng)

        # Pixel blitting: values stay as they are.
        flip = sometimes(torch.randint(2, (n,), device=device, generator=rng))
        turns = sometimes(torch.randint(4, (n,), device=device, generator=rng))
        down, right = sometimes((uniform(2) * side / 8).round().long())
        x = blit(x, flip, turns, down, right)

        # Other warps, drawn output to input: each factor is distributed like its inverse. Two turns
        # share one probability, so that p is again the chance of at least one.
        p_turn = 1 - (1 - self.p).sqrt()
        zoom = torch.exp2(0.2 * sometimes(normal()))
        first_turn = sometimes(math.pi * uniform(), p_turn)
        stretch = torch.exp2(0.2 * sometimes(normal()))
        second_turn = sometimes(math.pi * uniform(), p_turn)
        offset = sometimes(0.125 * 2 * normal(2)).T  # The side is 2 long.
        scales = torch.stack([zoom * stretch, zoom / stretch], -1)
        linear = (_rotation(first_turn) * scales[:, None]) @ _rotation(second_turn)
        moved = (linear != torch.eye(2, device=device)).any((1, 2)) | (offset != 0).any(1)
        warped = warp(x, linear.to(x.dtype), offset.to(x.dtype))
        x = torch.where(moved[:, None, None, None], warped, x)

        # Colour.
        brightness = sometimes(0.2 * normal())
        contrast = torch.exp2(0.5 * sometimes(normal()))
        luma_flip = 1 - 2.0 * sometimes(torch.randint(2, (n,), device=device, generator=rng))
        hue = sometimes(math.pi * uniform())
        saturation = torch.exp2(sometimes(normal()))
        draws = torch.stack([brightness, contrast, luma_flip, hue, saturation])
        return shift_color(x, *draws.to(x.dtype)[..., None, None, None])


def classical_augment(
    x: Tensor,  # Real images [N, 3, R, R]: uint8, or floating point in any range.
    rng: torch.Generator | None = None,  # On the images' device; None = torch's global source.
) -> Tensor:
    """Mirror half of the images, shift up to 10 % of the side, turn up to 15 degrees.

    The usual augmentation of a training set, bilinear, in the type of the input; edge pixels repeat
    where the image moved away. It goes on reals only: a generator that matches what D sees then
    learns tilted and smeared images. That leak is what `diff_augment` avoids.
    """
    _require_images(x, square=True)
    n, device = len(x), x.device
    pixels = x if x.is_floating_point() else x.float()
    shift, angle = (
        2 * torch.rand(k, n, dtype=pixels.dtype, device=device, generator=rng) - 1 for k in (2, 1)
    )
    mirror = 1 - 2 * torch.randint(2, (n,), device=device, generator=rng)
    linear = _rotation(angle[0] * math.radians(15))
    linear = torch.stack([linear[:, 0] * mirror[:, None], linear[:, 1]], 1)
    theta = torch.cat([linear, 0.1 * 2 * shift.T[:, :, None]], 2)  # The side is 2 long.
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return moved if x.is_floating_point() else moved.round().to(x.dtype)
