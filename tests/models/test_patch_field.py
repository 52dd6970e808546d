"""Nearest-neighbour fields: what stands where, how it is found, carried and painted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from genmodels.models.patches import source
from genmodels.models.patches.field import Canvas, Level
from genmodels.models.patches.source import PATCH, PatchSettings, patches_of, resize
from genmodels.nn.threads import threads_for

MIRRORED = PatchSettings(mirror=True)  # And stretched: all kinds of pieces.
PLAIN = PatchSettings(mirror=False, stretches=(), uniqueness=0, reuse=0)


@pytest.fixture(autouse=True)
def same_start_and_one_thread():
    torch.manual_seed(0)
    with threads_for(0):
        yield


def noise(height, width):
    """No two patches of it are alike."""
    return torch.rand(3, height, width) * 2 - 1


def smooth(height, width):
    """Waves that survive being shrunk."""
    y, x = torch.meshgrid(torch.arange(height) / 40, torch.arange(width) / 40, indexing="ij")
    return torch.stack([(3 * x + y).sin(), (2 * y - x).cos(), (4 * x * y).sin()]) * 0.8


def whole(photo, settings=PLAIN, scale=1.0):
    """A picture of the photo's size, of which nothing is known."""
    return Level(photo, Canvas(*photo.shape[1:]), scale, settings)


def beside(photo, scale=1.0, settings=PLAIN, wrap=False):
    """The photo in a picture that goes on by half of its size on three sides."""
    h, w = photo.shape[1:]
    canvas = Canvas(h + h // 2, 2 * w, h // 2, w // 2, anchored=True, wrap=wrap)
    return Level(photo, canvas, scale, settings)


def identity(level):
    """The field of the photo itself, or of what it is mirrored."""
    return level.y * level.pw + level.x


def rng():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("mirror", [False, True])
def test_equal_patches_are_described_equally(mirror):
    photo = noise(20, 24)
    level = beside(photo, settings=PatchSettings(mirror=mirror))
    queries = level.source.describe(level.padded(level.base), level.rows_wanted)
    own = level.own >= 0
    assert own.sum() == (20 - PATCH + 1) * (24 - PATCH + 1)
    assert queries[own].allclose(level.source.keys[level.own[own]], atol=1e-4)


def test_distances_are_those_of_the_patches_themselves():
    photo = smooth(40, 44) + 0.05 * noise(40, 44)
    settings = {"components": 147 - 3, "mean_weight": 1.0, "height_weight": 0.0}
    level = whole(photo, replace(PLAIN, **settings))
    patches = patches_of(photo)
    some, others = torch.randint(len(patches), (2, 200))
    told = (level.source.keys[some] - level.source.keys[others]).square().sum(1)
    assert told.allclose((patches[some] - patches[others]).square().sum(1), rtol=0.01, atol=1e-3)


def test_a_patch_that_lies_at_another_height_is_further():
    stripes = noise(1, 32).expand(3, 32, 32).contiguous()  # Alike from top to bottom.
    level = whole(stripes)
    column = level.source.keys.view(level.ph, level.pw, -1)[:, 4]
    distances = (column - column[0]).square().sum(1)
    assert distances.diff().min() > 0
    flat = whole(stripes, replace(PLAIN, height_weight=0))
    assert flat.source.keys.view(flat.ph, flat.pw, -1)[:, 4].std(0).max() < 1e-4


def test_the_exact_search_finds_an_identical_patch():
    photo = noise(24, 30)
    level = whole(photo)
    assert level.is_exact
    start = torch.zeros_like(level.own)
    assert level.search(start, photo, rng()).equal(identity(level))
    mirrored = whole(photo, replace(PLAIN, mirror=True))
    found = mirrored.search(start, photo.flip(2), rng())
    assert found.equal(identity(mirrored) + mirrored.w)


def test_the_refined_search_finds_an_identical_patch():
    photo = noise(84, 84)
    level = whole(photo)
    assert not level.is_exact
    truth = identity(level)
    lost = torch.rand(len(truth)) < 0.5
    field = torch.where(lost, torch.randint(len(level.source.row), truth.shape), truth)
    once = level.search(field, photo, rng())
    assert (once == truth).float().mean() > 0.99
    assert level.search(once, photo, rng()).equal(truth)


def test_the_refined_search_finds_what_lies_near():
    photo = smooth(84, 84) + 0.1 * noise(84, 84)
    level = whole(photo)
    y, x = (level.y + 4).clamp(0, level.ph - 1), (level.x - 3).clamp(0, level.pw - 1)
    field = y * level.pw + x  # Each 5 pixels off.
    for _ in range(3):
        field = level.search(field, photo, rng())
    assert (field == identity(level)).float().mean() > 0.9


def test_the_refined_search_never_takes_a_further_patch():
    photo, picture = smooth(90, 80), smooth(90, 160).flip(1) + 0.2 * noise(90, 160)
    level = Level(photo, Canvas(90, 160), 1.0, MIRRORED)
    assert not level.is_exact
    queries = level.source.describe(picture, level.rows_wanted)
    field = (torch.rand(level.own.shape) * len(level.source.row)).long()
    field = torch.where(level.source.straddles[field], 0, field)
    before = (queries - level.source.keys[field]).square().sum(1)
    found = level.search(field, picture, rng())
    after = (queries - level.source.keys[found]).square().sum(1)
    assert (after <= before + 1e-3).all()
    assert after.mean() < 0.7 * before.mean()
    assert not level.source.straddles[found].any()


def test_the_refined_search_goes_over_the_end_of_a_picture_that_wraps():
    photo = noise(84, 84)
    found = {}
    for wrap in (True, False):
        level = Level(photo, Canvas(84, 84, wrap=wrap), 1.0, PLAIN)
        column = (level.x + 42) % 84
        truth = level.y * level.pw + column
        right = (level.x >= 60) & (level.x < level.gw) & (column < level.pw)
        found[wrap] = level.search(torch.where(right, truth, 0), photo.roll(42, 2), rng()) == truth
        found[wrap] = found[wrap].view(level.gh, level.gw)[:, :4]  # Right of the right end.
    assert found[True].float().mean() > 0.95
    assert found[False].float().mean() < 0.05


def test_the_exact_search_avoids_what_is_alone_if_it_is_dear():
    photo = noise(24, 8).repeat(1, 1, 6)
    photo[:, 8:18, 20:30] = noise(10, 10)
    alone = torch.zeros(24 - PATCH + 1, 48 - PATCH + 1, dtype=torch.bool)
    alone[8:12, 20:24] = True
    for price, stays in ((0, True), (10, False)):
        level = whole(photo, replace(PLAIN, uniqueness=price))
        field = level.search(torch.zeros_like(level.own), photo, rng())
        assert (field == identity(level))[alone.flatten()].eq(stays).all()


@pytest.mark.parametrize("mirror", [False, True])
def test_the_exact_search_takes_nothing_that_is_too_near(mirror):
    level = beside(smooth(20, 30), settings=PatchSettings(mirror=mirror))
    assert level.is_exact
    picture = torch.nn.functional.pad(smooth(20, 30)[None], (15, 15, 10, 0), mode="reflect")[0]
    field = level.search(torch.zeros_like(level.own), picture, rng())[level.open]
    near = level.is_too_near(level.open)
    assert near.any(1).float().mean() > 0.2
    assert not near[torch.arange(len(field)), field].any()


def test_both_searches_leave_the_photos_own_patches():
    photo = smooth(40, 40) + 0.1 * noise(40, 40)
    for level in (beside(photo, 0.5), beside(smooth(90, 90))):
        start = torch.where(level.own >= 0, level.own, 0)
        found = level.search(start, torch.zeros_like(level.base), rng())
        assert found[level.own >= 0].equal(level.own[level.own >= 0])


@pytest.mark.parametrize("wrap", [False, True])
def test_no_patch_is_half_mirrored(wrap):
    photo = smooth(24, 24).flip(1) + 0.3 * noise(24, 24)
    coarse, fine = (beside(photo, scale, MIRRORED, wrap) for scale in (0.7, 1.0))
    seams = 2 * len((1, *coarse.settings.stretches)) - 1
    assert coarse.source.straddles.sum() == coarse.ph * (PATCH - 1) * seams
    allowed = (~coarse.source.straddles).nonzero()[:, 0]
    field = allowed[torch.randint(len(allowed), coarse.own.shape)]
    assert not fine.source.straddles[fine.carry(coarse, field)].any()
    for level in (coarse, fine):
        field = level.search(torch.zeros_like(level.own), noise(*level.base.shape[1:]), rng())
        assert not level.source.straddles[field].any()


@pytest.mark.parametrize("guided", [False, True])
def test_the_identity_paints_the_photo(guided):
    photo = noise(26, 31)
    level = whole(photo, MIRRORED)
    level.guide = photo if guided else None
    assert level.paint(identity(level)).allclose(photo, atol=1e-3)
    level.guide = photo.flip(2) if guided else None
    assert level.paint(identity(level) + level.w).allclose(photo.flip(2), atol=1e-3)


def test_what_is_painted_keeps_the_photo_bit_for_bit():
    photo = noise(20, 22)
    for wrap in (False, True):
        level = beside(photo, wrap=wrap)
        field = torch.where(level.own >= 0, level.own, 5)
        for guide in (None, torch.zeros_like(level.base)):
            level.guide = guide
            picture = level.paint(field)
            assert picture.shape == (3, 30, 44)
            assert picture[:, 10:, 11:33].equal(photo)
            assert picture.abs().max() <= 1


def test_a_guide_gives_its_colours():
    photo = smooth(30, 30) * 0.5
    level = whole(photo)
    level.guide = photo + 0.2
    brighter = level.paint(identity(level)) - photo
    assert brighter.allclose(torch.tensor(0.2), atol=1e-3)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (47, 33), (40, 91)])
@pytest.mark.parametrize("scale", [0.5, 0.7, 0.83])
def test_a_carried_identity_is_the_identity(size, scale):
    photo = smooth(*size)
    coarse, fine = whole(photo, MIRRORED, scale), whole(photo, MIRRORED)
    assert fine.carry(coarse, identity(coarse)).equal(identity(fine))
    mirrored = fine.carry(coarse, identity(coarse) + coarse.w)
    assert mirrored.equal(identity(fine) + fine.w)


@pytest.mark.parametrize("piece", range(6))
def test_a_carried_patch_stays_in_its_copy_of_the_photo(piece):
    photo = smooth(40, 60)
    coarse, fine = whole(photo, MIRRORED, 0.5), whole(photo, MIRRORED)
    field = torch.full_like(coarse.own, int(coarse.source.starts[piece]) + 3)
    carried = fine.carry(coarse, field)
    assert fine.source.piece_of(carried % fine.pw).eq(piece).all()
    assert not fine.source.straddles[carried].any()


def test_a_stretched_part_of_the_photo_is_found_in_a_stretched_copy():
    photo = smooth(24, 60) + 0.1 * noise(24, 60)
    level = whole(photo, replace(PLAIN, stretches=(1.3,)))
    wider = resize(photo, (24, 78))
    part = Level(photo, Canvas(24, 30), 1.0, level.settings)
    found = part.search(torch.zeros_like(part.own), wider[:, :, 20:50], rng())
    assert found.equal(part.y * part.pw + part.x + 60 + 20)
    assert part.source.column[found].sub((20 + part.x) / 1.3).abs().max() < 2


def test_the_exact_search_shares_out_what_is_alike():
    photo = noise(24, 9).repeat(1, 1, 5)
    picture = photo[:, :, 9:36]
    once = []
    for price in (0.0, 1.0):
        level = Level(photo, Canvas(24, 27), 1.0, replace(PLAIN, reuse=price))
        found = level.search(torch.zeros_like(level.own), picture, rng())
        shown = level.source.describe(picture, level.rows_wanted)
        assert level.source.keys[found].allclose(shown, atol=1e-3)
        once.append(int((level.source.taken(found) == 1).sum()))
    assert once[0] == 0
    assert once[1] > 150


def test_a_carried_piece_stays_in_one_piece():
    photo = smooth(40, 60)
    coarse, fine = (Level(photo, Canvas(40, 30), scale, PLAIN) for scale in (0.5, 1.0))
    field = fine.carry(coarse, identity(coarse) + 8).view(fine.gh, fine.gw)  # 8 columns on.
    assert field.diff(dim=1).eq(1).all()
    assert field.diff(dim=0).eq(fine.pw).all()
    assert field[0, 0] == 16


@pytest.mark.parametrize("wrap", [False, True])
def test_the_photos_own_patches_are_carried_to_themselves(wrap):
    photo = smooth(36, 30)
    coarse, fine = (beside(photo, scale, MIRRORED, wrap) for scale in (0.7, 1.0))
    field = fine.carry(coarse, torch.where(coarse.own >= 0, coarse.own, 0))
    assert field[fine.own >= 0].equal(fine.own[fine.own >= 0])
    assert field.min() >= 0
    assert field.max() < len(fine.source.row)


def test_a_field_that_wraps_is_carried_over_the_end():
    photo = smooth(36, 30)
    coarse, fine = (Level(photo, Canvas(36, 60, wrap=True), k, PLAIN) for k in (0.5, 1.0))
    field = torch.randint(len(coarse.source.row), coarse.own.shape).view(coarse.gh, coarse.gw)
    carried = fine.carry(coarse, field.flatten()).view(fine.gh, fine.gw)
    turned = fine.carry(coarse, field.roll(7, 1).flatten()).view_as(carried)
    assert turned.equal(carried.roll(14, 1))


def test_padding_and_folding_are_transposes():
    level = beside(noise(16, 18), wrap=True)
    x = torch.randn(2, level.height, level.width, dtype=torch.double)
    y = torch.randn(2, level.height, level.width + PATCH - 1, dtype=torch.double)
    there, back = (level.padded(x) * y).sum(), (x * level.folded(y.clone())).sum()
    assert float(there) == pytest.approx(float(back))
    plain = beside(noise(16, 18))
    assert plain.padded(x).equal(x)
    assert plain.folded(x).equal(x)


def test_a_wrapped_picture_has_a_patch_over_its_end():
    photo = noise(16, 20)
    wrapped, plain = beside(photo, wrap=True), beside(photo)
    assert wrapped.gw == wrapped.width == 40
    assert plain.gw == plain.width - PATCH + 1
    described = wrapped.source.describe(wrapped.padded(wrapped.base), wrapped.rows_wanted)
    assert len(described) == len(wrapped.own) == wrapped.gh * wrapped.gw
    turned = wrapped.source.describe(wrapped.padded(wrapped.base.roll(7, 2)), wrapped.rows_wanted)
    before = described.view(wrapped.gh, wrapped.gw, -1)
    assert turned.view_as(before).allclose(before.roll(7, 1), atol=1e-4)


@pytest.mark.parametrize("mirror", [False, True])
def test_what_is_alone_is_more_unique_than_what_repeats(mirror):
    x = torch.arange(64)
    photo = torch.where(x // 4 % 2 == 0, 0.4, -0.4).expand(3, 24, 64).clone()
    photo[:, 8:16, 40:48] = noise(8, 8)
    level = whole(photo, replace(PLAIN, mirror=mirror, uniqueness=0.4))
    told = level.source.dislike.view(level.ph, level.pw)
    alone, stripes = told[8:9, 40:41], told[:, : 20 - PATCH]
    assert alone.min() > 3 * stripes.max()
    assert whole(photo, PatchSettings(mirror=True, uniqueness=0)).source.dislike.eq(0).all()


def test_what_has_no_like_far_enough_counts_as_most_unique():
    level = whole(noise(16, 16), PatchSettings(mirror=True, min_shift=1.0))
    assert level.source.dislike.isfinite().all()


def test_too_near_is_what_would_stand_beside_itself():
    settings = replace(PLAIN, mirror=True, min_shift=0.2, min_mirror=0.1)  # 12 and 6 px.
    level = beside(noise(32, 60), settings=settings)
    y, x = 10, -20  # In the photo's coordinates: 20 pixels left of it.
    place = ((level.y == y) & (level.x == x)).nonzero()[0]
    near = level.is_too_near(place)[0].view(level.ph, level.pw)
    straddles = level.source.straddles.view(level.ph, level.pw)
    assert not near[:, : 60 - PATCH + 1].any()  # Nothing unmirrored: the photo is 20 pixels away.
    assert near[straddles].all()
    reflection = 60 + (60 - PATCH - 20)  # The mirrored patch of column 20.
    assert near[y, reflection]
    assert near[y, reflection - 5 : reflection + 6].all()
    assert near[y - 5 : y + 6, reflection].all()
    assert near[~straddles].sum() == 11 * 11

    inside = ((level.y == 10) & (level.x == 30)).nonzero()[0]
    near = level.is_too_near(inside)[0].view(level.ph, level.pw)
    assert near[10, 30 - 11 : 30 + 12].all()
    assert not near[10, 30 - 12]
    assert not near[10, 30 + 12]


@pytest.mark.parametrize("scale", [0.31, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("corner", [(0, 0), (13, 0), (0, 17), (5, 8)])
def test_the_photo_fits_in_its_frame_at_every_scale(scale, corner):
    photo = smooth(53, 61)
    canvas = Canvas(66, 78, *corner, anchored=True)
    level = Level(photo, canvas, scale, MIRRORED)
    assert level.source.photo.shape[1:] == (round(53 * scale), round(61 * scale))
    assert level.known.sum() == level.h * level.w
    assert level.base[:, level.known].equal(level.source.photo.flatten(1))
    assert (level.own >= 0).sum() == level.ph * (level.w - PATCH + 1)
    if scale == 1:
        assert (level.height, level.width) == (66, 78)
        assert level.source.photo.equal(photo)


def test_a_picture_of_another_height_wants_all_the_photos_rows():
    level = Level(smooth(30, 30), Canvas(50, 30), 1.0, PLAIN)
    rows = level.rows_wanted.view(level.gh, level.gw)[:, 0]
    assert (rows[0], rows[-1]) == (0, level.ph - 1)
    assert rows.diff().min() > 0


def test_all_is_compared_some_at_a_time(monkeypatch):
    queries, keys = torch.randn(25, 6), torch.randn(40, 6)
    monkeypatch.setattr(source, "CHUNK", 4 * 40)
    parts, found = zip(*source.distances_to(queries, keys), strict=True)
    assert len(parts) == 7
    places = torch.arange(25)
    assert torch.cat([places[part] for part in parts]).equal(places)
    assert torch.cat(found).allclose(torch.cdist(queries, keys).square(), atol=1e-4)


def test_a_picture_is_resized_without_leaving_its_range():
    edges = torch.from_numpy(np.sign(np.indices((40, 40)).sum(0) % 20 - 9.5)).float()
    small = resize(edges.expand(3, 40, 40), (23, 31))
    assert small.shape == (3, 23, 31)
    assert small.abs().max() <= 1
    assert resize(torch.full((3, 40, 40), 0.3), (17, 17)).allclose(torch.tensor(0.3))
    photo = noise(9, 9)
    assert resize(photo, (9, 9)).equal(photo)


def test_a_picture_that_is_all_photo_can_be_searched():
    photo = noise(16, 20)
    level = Level(photo, Canvas(16, 20, anchored=True), 1.0, MIRRORED)
    assert len(level.open) == 0
    assert level.search(level.own, photo, rng()).equal(level.own)
