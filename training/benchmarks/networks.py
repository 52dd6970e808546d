"""Benchmark our networks against plain implementations of the same ones (`make bench`).

    python -m training.benchmarks.networks                 # About eight minutes on two idle cores.
    python -m training.benchmarks.networks --only pix2pix  # One family's rows.
    python -m training.benchmarks.networks --quick         # One row, as a smoke test.

The reference reads the weights of our modules and has to give the same output before anything is
timed. It follows the papers to the letter: one modulated weight per image in a grouped convolution,
re-sampling by zero-stuffing and a 4x4 FIR filter at the full rate, noise, bias and activation as
passes of their own, pixels repeated before they are convolved, contiguous layout. Ours and the
reference take turns, so that whatever else the
machine does falls on both: on a busy machine trust the ratios, not the images per second.
"""

import copy
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn
from torch.optim import Adam

from genmodels.models import dcgan, pix2pix, stylegan2, upscaler
from genmodels.nn import losses
from training.critics.discriminators import hinge_d, hinge_g
from training.critics.projected_features import Heads, Projection

SQRT2 = math.sqrt(2)
Network = Callable[[Tensor], Tensor]
Judge = Callable[[Tensor, Tensor], Tensor]
Work = Callable[[], object]
Layer = Any  # A module whose parts are read: torch types each part as "Tensor | Module".


def bench(
    quick: bool = False,  # Only the first row of the first network.
    only: Literal["all", "stylegan2", "critics", "dcgan", "pix2pix", "upscaler"] = "all",  # Rows.
    threads: int = 2,  # CPU threads that torch may use.
) -> None:
    """Print one table of images per second, ours against the reference."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"torch {torch.__version__}, {threads} threads, load before the start {load}\n")
    print("| network | what | ours img/s | reference img/s | ratio (min-max) | target |")
    print("| --- | --- | --- | --- | --- | --- |")
    if quick or only in ("all", "stylegan2"):
        bench_stylegan2("StyleGAN2 128 px, 64-256 channels", 64, mapping_layers=2, quick=quick)
    if quick:
        return
    if only in ("all", "stylegan2"):
        bench_stylegan2("StyleGAN2 128 px, 128-256 channels", 128, mapping_layers=8)
    if only in ("all", "critics"):
        bench_critics()
    if only in ("all", "dcgan"):
        bench_dcgan()
    if only in ("all", "pix2pix"):
        bench_pix2pix("pix2pix 256 px, default", {}, {}, targets=("", "", "", ""))
        size = {"levels": 8, "base_channels": 64, "max_channels": 512}
        paper = size | {"norm": "instance", "up": "transposed"}
        peers = ("3.9 img/s", "7.3 img/s", "0.84 img/s", "1.10 img/s")  # Measured when idle.
        bench_pix2pix("pix2pix 256 px, paper", paper, {"receptive_field": 70}, targets=peers)
    if only in ("all", "upscaler"):
        bench_upscaler()


def bench_critics() -> None:
    """What heads on pretrained features cost a training step, beside the own critic alone."""
    size = {"base_channels": 16, "max_channels": 256}
    G, D = stylegan2.Generator(64, **size), stylegan2.Discriminator(64, **size)
    projection, heads = Projection(), Heads()
    opt_heads = Adam(heads.parameters(), 1e-4)
    z, real, c = torch.randn(32, 128), torch.rand(32, 3, 64, 64) * 2 - 1, torch.zeros(32, 0)
    alone = trainer((G, D), G, D, z, real)
    fake = real.flip(0)

    def both() -> None:
        alone()
        with torch.no_grad():
            maps = projection(real), projection(fake)
        opt_heads.zero_grad()
        hinge_d(*(heads(x, c) for x in maps)).backward()
        opt_heads.step()
        image = fake.clone().requires_grad_()
        torch.autograd.grad(hinge_g(heads(projection(image), c)), image)

    title = "StyleGAN2 64 px | training with both critics (reference: own critic alone)"
    compare(title, 32, both, alone, pairs=5, target="")


def bench_stylegan2(
    name: str, base_channels: int, mapping_layers: int, *, quick: bool = False
) -> None:
    """Rows of one StyleGAN2: samples at batch 1 and 16, a training step at batch 8."""
    size = {"base_channels": base_channels, "max_channels": 256}
    G = stylegan2.Generator(128, 256, 256, mapping_layers=mapping_layers, **size)
    D = stylegan2.Discriminator(128, **size)
    for parameter in (*G.parameters(), *D.parameters()):
        if parameter.ndim < 2:  # Biases and noise start at zero, where nothing would check them.
            nn.init.normal_(parameter, parameter.detach().mean().item(), 0.1)
    plain_G, plain_D = contiguous_copy(G), contiguous_copy(D)
    reference_G, reference_D = (
        partial(textbook_generator, plain_G),
        partial(textbook_critic, plain_D),
    )

    z, real = torch.randn(16, 256), torch.rand(8, 3, 128, 128) * 2 - 1
    with torch.inference_mode():
        require_same(G(z[:4]), reference_G(z[:4]))
        require_same(D(real[:4]), reference_D(real[:4]))

    for batch_size, pairs, target in ((1, 9, "1.3x, 10 img/s"), (16, 5, "1.5x")):
        ours, reference = (sampler(net, z[:batch_size]) for net in (G, reference_G))
        title = f"{name} | sample, batch {batch_size}"
        compare(title, batch_size, ours, reference, pairs=pairs, target=target)
        if quick:
            return
    ours = trainer((G, D), G, D, z[:8], real)
    reference = trainer((plain_G, plain_D), reference_G, reference_D, z[:8], real)
    compare(f"{name} | train, batch 8", 8, ours, reference, pairs=3, target="1.2x")


def bench_dcgan() -> None:
    """Rows of DCGAN as published, 64 px at batch 64; the reference is the same in NCHW layout."""
    G, D = dcgan.Generator(), dcgan.Discriminator()
    plain_G, plain_D = contiguous_copy(G), contiguous_copy(D)

    def reference_D(image: Tensor) -> Tensor:  # Ours turns the image to channels_last by itself.
        return plain_D.to_logit(plain_D.trunk(image)).flatten()

    z, real = torch.randn(64, 100), torch.rand(64, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        require_same(G(z), plain_G(z))
        require_same(D(real), reference_D(real))

    name = "DCGAN 64 px, 64-512 channels"
    ours, reference = sampler(G, z), sampler(plain_G, z)
    compare(f"{name} | sample, batch 64", 64, ours, reference, pairs=7, target="1.15x")
    ours = trainer((G, D), G, D, z, real)
    reference = trainer((plain_G, plain_D), plain_G, reference_D, z, real)
    compare(f"{name} | train, batch 64", 64, ours, reference, pairs=5, target="1.15x")


def bench_pix2pix(
    name: str,
    config_G: dict[str, Any],  # The generator's arguments, ...
    config_D: dict[str, Any],  # ... and the discriminator's.
    *,
    targets: Sequence[str],  # Names for inference at batch 1 and 4, then for training at both.
) -> None:
    """Rows of one pix2pix: inference and a training step, at batch 1 and 4."""
    G, D = pix2pix.Generator(**config_G), pix2pix.Discriminator(**config_D)
    plain_G, plain_D = contiguous_copy(G), contiguous_copy(D)
    reference_G, reference_D = partial(textbook_unet, plain_G), partial(textbook_patchgan, plain_D)
    source, target = torch.rand(2, 4, 3, 256, 256) * 2 - 1
    with torch.inference_mode():
        require_same(G(source), reference_G(source))
        require_same(D(source, target), reference_D(source, target))

    for n, goal in zip((1, 4), targets[:2], strict=True):
        ours, reference = (sampler(net, source[:n]) for net in (G, reference_G))
        compare(f"{name} | translate, batch {n}", n, ours, reference, pairs=7, target=goal)
    for n, goal in zip((1, 4), targets[2:], strict=True):
        pair = source[:n], target[:n]
        ours = translation_trainer((G, D), G, D, *pair)
        plain = (plain_G, plain_D)
        reference = translation_trainer(plain, reference_G, reference_D, *pair, is_textbook=True)
        compare(f"{name} | train, batch {n}", n, ours, reference, pairs=5, target=goal)


def bench_upscaler() -> None:
    """A table of its own: milliseconds to enlarge a picture four times, on one thread and two."""
    network, before = upscaler.Generator().eval(), torch.get_num_threads()
    print("\n| enlarge four times | 1 thread, ms | 2 threads, ms | target |")
    print("| --- | --- | --- | --- |")
    for n, side, target in ((1, 64, "300"), (8, 64, ""), (1, 128, "")):
        work, cells = sampler(network, torch.rand(n, 3, side, side) * 2 - 1), []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            work()
            cells.append(f"{1000 * statistics.median(seconds(work) for _ in range(9)) / n:.0f}")
        what = f"{side} px to {4 * side} px" + (f", each of {n}" if n > 1 else "")
        print(f"| {what} | {' | '.join(cells)} | {target} |", flush=True)
    torch.set_num_threads(before)


# The textbook StyleGAN2.


def textbook_generator(G: Layer, z: Tensor) -> Tensor:
    """z [N, z_dim] -> image [N, 3, R, R] by the equations of arXiv:1912.04958."""
    w = G.mapping(z)
    x, image = G.const.expand(len(z), -1, -1, -1), None
    for block in G.blocks:
        if block.up is not None:
            x = textbook_layer(block.up, x, w)
        x = textbook_layer(block.layer, x, w)
        rgb = per_image_conv(block.to_rgb, x, w, demodulate=False) + block.rgb_bias[:, None, None]
        image = rgb if image is None else stuffed_upsample(image) + rgb
    assert image is not None
    return image


def textbook_layer(layer: Layer, x: Tensor, w: Tensor) -> Tensor:
    """Convolution, noise, bias and activation, one pass each."""
    x = per_image_conv(layer.conv, x, w)
    if layer.up:
        x = stuffed_upsample(x)
    x = x + layer.noise_const * layer.noise_strength
    x = x + layer.bias[:, None, None]
    return F.leaky_relu(x, 0.2) * SQRT2


def per_image_conv(conv: Layer, x: Tensor, w: Tensor, *, demodulate: bool = True) -> Tensor:
    """Modulation and demodulation of the weights (equations 1 and 3), then one group per image."""
    n, c_in, height, width = x.shape
    weight = conv.gain * conv.weight * conv.to_style(w)[:, None, :, None, None]
    if demodulate:
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    grouped = weight.flatten(0, 1)  # [N c_out, c_in, k, k]
    x = x.reshape(1, n * c_in, height, width)
    x = F.conv2d(x, grouped, padding=weight.shape[-1] // 2, groups=n)
    return x.view(n, -1, height, width)


def textbook_critic(D: Layer, image: Tensor) -> Tensor:
    """image [N, 3, R, R] -> logits [N]."""
    x = textbook_conv(D.from_rgb, image)
    for block in D.blocks:
        shortcut = F.conv2d(decimate(x), block.skip.weight * block.skip.gain)
        x = textbook_conv(block.conv, x)
        x = textbook_conv(block.down, decimate(x))
        x = (x + shortcut) / SQRT2
    groups = x.unflatten(0, (-1, math.gcd(len(x), D.group_size)))  # [N / g, g, C, 4, 4]
    deviation = (groups.var(1, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    deviation = deviation.repeat_interleave(groups.shape[1])[:, None, None, None]
    x = textbook_conv(D.conv, torch.cat([x, deviation.expand(-1, 1, 4, 4)], 1))
    x = F.leaky_relu(D.linear(x.flatten(1)), 0.2) * SQRT2
    return D.to_logit(x).flatten()


def textbook_conv(conv: Layer, x: Tensor) -> Tensor:
    """Convolution, bias and activation, one pass each."""
    x = F.conv2d(x, conv.weight * conv.gain, padding=conv.weight.shape[-1] // 2)
    x = x + conv.bias[:, None, None]
    return F.leaky_relu(x, 0.2) * SQRT2


def stuffed_upsample(x: Tensor) -> Tensor:
    """Twice the side: zeros between the pixels, then the filter."""
    n, channels, height, width = x.shape
    x = F.pad(x.reshape(n, channels, height, 1, width, 1), (0, 1, 0, 0, 0, 1))
    return 4 * fir(F.pad(x.reshape(n, channels, 2 * height, 2 * width), (2, 1, 2, 1)))


def decimate(x: Tensor) -> Tensor:
    """Half the side: the filter everywhere, then every other pixel."""
    return fir(F.pad(x, (1, 1, 1, 1)))[:, :, ::2, ::2]


def fir(x: Tensor) -> Tensor:
    """The 4x4 binomial filter on each channel; the border must be there already."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = torch.outer(taps, taps).repeat(x.shape[1], 1, 1, 1)
    return F.conv2d(x, kernel, groups=x.shape[1])


# The textbook pix2pix.


def textbook_unet(G: Layer, image: Tensor) -> Tensor:
    """image [N, C, H, W] -> image by arXiv:1611.07004, activations before convolutions."""
    x, encoded = image, []
    for i, (conv, *norm, _) in enumerate(G.downs):
        x = F.leaky_relu(x, 0.2) if i else x
        x = textbook_norm(norm, F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1))
        encoded.append(x)
    x = encoded.pop()
    for conv, *norm, _ in G.ups:
        x = textbook_norm(norm, textbook_double(conv, F.relu(x)))
        x = torch.cat([x, encoded.pop()], 1)
    return textbook_double(G.to_image, F.relu(x)).tanh()


def textbook_patchgan(D: Layer, source: Tensor, image: Tensor) -> Tensor:
    """source and image [N, C, H, W] -> logits [N, 1, h, w]."""
    x = torch.cat([source, image], 1)
    for conv, *norm, _ in D.trunk:
        x = F.conv2d(x, conv.weight, conv.bias, stride=conv.stride, padding=1)
        x = F.leaky_relu(textbook_norm(norm, x), 0.2)
    return D.to_logits(x)


def textbook_double(conv: Layer, x: Tensor) -> Tensor:
    """Twice the side, by whichever convolution it is."""
    if isinstance(conv, pix2pix.TransposedConv):
        return F.conv_transpose2d(x, conv.weight, conv.bias, stride=2, padding=1)
    return F.conv2d(F.interpolate(x, scale_factor=2), conv.weight, conv.bias, padding=1)


def textbook_norm(norm: list[Layer], x: Tensor) -> Tensor:
    """By the built-in function, if the layer has one."""
    if not norm:
        return x
    weight, bias = norm[0].weight, norm[0].bias
    if isinstance(norm[0], pix2pix.InstanceNorm):
        return F.instance_norm(x, weight=weight, bias=bias)
    return F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias).permute(0, 3, 1, 2)


# Measuring.


def contiguous_copy(module: nn.Module) -> Layer:
    """The same weights in NCHW layout."""
    twin = copy.deepcopy(module)
    for parameter in twin.parameters():
        parameter.data = parameter.data.contiguous()
    return twin


def require_same(ours: Tensor, reference: Tensor) -> None:
    """Fail unless both are equal up to the rounding of float32."""
    scale = reference.abs().max().item()
    torch.testing.assert_close(ours, reference, rtol=0, atol=1e-4 * scale)


def sampler(G: Network, z: Tensor) -> Work:
    """The work of sampling once."""
    return torch.inference_mode()(lambda: G(z))


def trainer(
    networks: tuple[nn.Module, nn.Module],  # G and D, for the optimisers.
    G: Network,  # How to compute G, ...
    D: Network,  # ... and how to compute D.
    z: Tensor,  # Latents [N, z_dim].
    real: Tensor,  # Images [N, 3, R, R].
) -> Work:
    """One update of D and one of G: no penalties, no augmentation, no moving average."""
    opt_G, opt_D = (Adam(net.parameters(), 1e-4, betas=(0.0, 0.99)) for net in networks)

    def step() -> None:
        with torch.no_grad():
            fake = G(z)
        opt_D.zero_grad()
        losses.bce_d(D(real), D(fake)).backward()
        opt_D.step()
        opt_G.zero_grad()
        networks[1].requires_grad_(False)
        losses.non_saturating_g(D(G(z))).backward()
        networks[1].requires_grad_(True)
        opt_G.step()

    return step


def translation_trainer(
    networks: tuple[nn.Module, nn.Module],  # G and D, for the optimisers.
    G: Network,  # How to compute G, ...
    D: Judge,  # ... and how to compute D.
    source: Tensor,  # What to translate [N, 3, R, R], ...
    target: Tensor,  # ... and into what.
    *,
    is_textbook: bool = False,  # D sees fake and real one after the other, Adam is the default one.
) -> Work:
    """One update of D and one of G, by least squares and 100 times L1."""
    opt_G, opt_D = (
        Adam(net.parameters(), 2e-4, betas=(0.5, 0.999), fused=not is_textbook) for net in networks
    )

    def judged(fake: Tensor) -> Sequence[Tensor]:
        if is_textbook:
            return D(source, target), D(source, fake)
        return D(torch.cat([source, source]), torch.cat([target, fake])).chunk(2)

    def step() -> None:
        fake = G(source)
        opt_D.zero_grad()
        losses.least_squares_d(*judged(fake.detach())).backward()
        opt_D.step()
        opt_G.zero_grad()
        networks[1].requires_grad_(False)
        l1 = F.l1_loss(fake, target)
        (losses.least_squares_g(D(source, fake)) + 100 * l1).backward()
        networks[1].requires_grad_(True)
        opt_G.step()

    return step


def seconds(work: Work, calls: int = 1) -> float:
    """Wall time of one call, the mean of several."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def compare(
    title: str,  # The first two cells of the row.
    images: int,  # How many one call makes or trains on.
    ours: Work,
    reference: Work,
    *,
    pairs: int,  # Times that both are measured, one right after the other.
    target: str,  # What ours is meant to reach.
) -> None:
    """Print one row: medians, and the smallest and largest ratio of a pair."""
    ours()
    calls = max(1, round(0.5 / seconds(reference)))  # The first calls warm up; half a second each.
    timed = [(seconds(ours, calls), seconds(reference, calls)) for _ in range(pairs)]
    rates = [images / statistics.median(times) for times in zip(*timed, strict=True)]
    ratios = sorted(theirs / own for own, theirs in timed)
    spread = f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f}-{ratios[-1]:.2f})"
    print(f"| {title} | {rates[0]:.2f} | {rates[1]:.2f} | {spread} | {target} |", flush=True)


if __name__ == "__main__":
    tyro.cli(bench)
