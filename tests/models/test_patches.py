"""Pictures from one photo's patches: what they keep, what they show, and what is refused."""

import json
import math
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

import genmodels
from genmodels.data import images
from genmodels.metrics import single_image
from genmodels.models.patches import synthesis
from genmodels.models.patches.field import Canvas, Level
from genmodels.models.patches.source import PatchSettings, Source
from genmodels.nn.threads import threads_for
from genmodels.pipelines.pipeline_patches import PatchPipeline

PIPELINE = PatchPipeline()
MODES = ("extend", "resample", "retarget", "wrap")


@pytest.fixture(autouse=True)
def one_thread():
    with threads_for(0):
        yield


def noise(width, height, seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def with_grain(pixels, sigma=5.0):
    """Float [h, w, 3] in 0 to 255 -> a picture, a little uneven."""
    grain = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return Image.fromarray((pixels + grain).round().clip(0, 255).astype(np.uint8))


@cache
def landscape(width=32, height=24):
    """Sky, woods and grass: colours that say how high they are."""
    rows = np.repeat([[90, 150, 220], [40, 90, 40], [200, 170, 60]], height // 3 + 1, axis=0)
    return with_grain(np.broadcast_to(rows[:height, None], (height, width, 3)), 12)


STRETCHES = PatchSettings().stretches


@cache
def bricks(width=48, height=36):
    """A wall: sharp edges everywhere, and few kinds of patches."""
    y, x = np.indices((height, width))
    joint = (y % 6 == 0) | ((x + y // 6 % 2 * 6) % 12 == 0)
    return with_grain(np.where(joint[..., None], [210, 205, 190], [150, 60, 40]), 4)


def make(photo, mode="extend", seed=1, **arguments):
    (picture,) = PIPELINE(photo, mode=mode, seed=seed, **arguments).images
    return picture


def pixels(image):
    return np.asarray(image).astype(float)


def cut(picture, photo, left, top):
    return picture.crop((left, top, left + photo.width, top + photo.height))


@pytest.mark.parametrize("mode", ["extend", "wrap"])
@pytest.mark.parametrize(("left", "top"), [(0, 0), (0, 7), (11, 0), (11, 7), (5, 3)])
def test_the_photo_keeps_its_pixels_wherever_it_lies(mode, left, top):
    photo = noise(21, 17)
    picture = make(photo, mode, width=32, height=24, left=left, top=top)
    assert picture.size == (32, 24)
    assert cut(picture, photo, left, top).tobytes() == photo.tobytes()


@pytest.mark.parametrize(("more_width", "more_height"), [(0, 0), (1, 0), (0, 1), (3, 0)])
@pytest.mark.parametrize("mode", ["extend", "wrap"])
@pytest.mark.parametrize("size", [(16, 16), (40, 32)])  # The second has coarser levels.
def test_a_picture_may_be_just_as_large_as_the_photo_or_a_little_larger(
    mode, size, more_width, more_height
):
    photo = noise(*size)
    width, height = size[0] + more_width, size[1] + more_height
    picture = make(photo, mode, width=width, height=height, left=0, top=more_height)
    assert picture.size == (width, height)
    assert cut(picture, photo, 0, more_height).tobytes() == photo.tobytes()


@pytest.mark.parametrize("mode", ["resample", "retarget"])
@pytest.mark.parametrize("size", [(33, 24), (32, 25), (16, 16), (16, 40), (61, 17)])
def test_a_picture_has_the_size_asked_for(mode, size):
    picture = make(landscape(), mode, width=size[0], height=size[1])
    assert picture.size == size
    assert picture.mode == "RGB"


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_has_the_photos_size_unless_asked_or_twice_its_width_where_it_grows(mode):
    grows = mode in ("extend", "wrap")
    picture = make(landscape(), mode)
    assert picture.size == (64 if grows else 32, 24)
    if grows:  # In the middle.
        assert cut(picture, landscape(), 16, 0).tobytes() == landscape().tobytes()


@pytest.mark.parametrize("mode", MODES)
def test_the_last_step_is_the_picture_and_those_before_are_coarser(mode):
    photo = landscape(32, 32)
    *before, last = PIPELINE.steps(photo, mode=mode, width=40, height=33, seed=3)
    assert last.tobytes() == make(photo, mode, seed=3, width=40, height=33).tobytes()
    widths = [picture.width for picture in before]
    assert widths == sorted(set(widths))
    assert bool(widths) == (mode != "retarget")  # That begins at 32 pixels.
    assert max(widths, default=0) < 40


@pytest.mark.parametrize("mode", MODES)
def test_a_seed_gives_the_same_picture_whatever_its_batch(mode):
    many = PIPELINE(landscape(), 2, mode=mode, seed=7, width=40)
    alone = make(landscape(), mode, seed=8, width=40)
    assert alone.tobytes() == many.images[1].tobytes()
    assert [told["seed"] for told in many.recipes] == [7, 8]


@pytest.mark.parametrize("mode", ["extend", "resample", "wrap"])
def test_seeds_give_different_pictures_unless_there_is_no_variety(mode):
    many = [make(landscape(), mode, seed=seed, width=48) for seed in range(2)]
    assert many[0].tobytes() != many[1].tobytes()
    few = [make(landscape(), mode, seed=seed, width=48, variety=0).tobytes() for seed in range(2)]
    assert (few[0] == few[1]) == (mode != "resample")  # That begins with a place by chance.


def test_without_a_seed_one_is_drawn_and_told():
    out = PIPELINE(landscape(), width=36)
    seed = out.recipes[0]["seed"]
    assert make(landscape(), seed=seed, width=36).tobytes() == out.images[0].tobytes()


def test_each_verb_is_its_mode():
    for mode in MODES:
        out = getattr(PIPELINE, mode)(noise(16, 16), width=20, seed=2)
        assert out.recipes[0]["settings"]["mode"] == mode
        assert out.images[0].tobytes() == make(noise(16, 16), mode, seed=2, width=20).tobytes()


@pytest.mark.parametrize("mode", ["extend", "wrap"])
def test_what_lies_at_a_height_goes_on_at_that_height(mode):
    levels = np.repeat([40.0, 200, 90, 160, 20, 230], 5)[:, None, None]
    photo = with_grain(np.broadcast_to(levels, (30, 36, 3)), 6)
    picture = pixels(make(photo, mode, width=80))
    assert np.abs(picture - levels).mean() < 6
    assert np.abs(picture.mean(1) - levels[:, 0]).max() < 5


@pytest.mark.parametrize("mode", ["resample", "retarget"])
@pytest.mark.parametrize("height", [24, 36])
def test_a_new_picture_has_the_photos_layout(mode, height):
    picture = pixels(make(landscape(), mode, width=44, height=height))
    third = height // 3
    for band, (low, high) in enumerate([(2, third - 2), (third + 2, 2 * third - 2), (-6, -1)]):
        own = pixels(landscape())[8 * band + 2 : 8 * band + 6].mean((0, 1))
        assert np.abs(picture[low:high].mean((0, 1)) - own).max() < 25


@pytest.mark.parametrize("seed", [0, 1])
def test_a_sky_goes_on_upward_and_a_ground_downward(seed):
    ramp = np.linspace(20, 235, 40)[:, None, None]  # Dark above, bright below.
    photo = with_grain(np.broadcast_to(ramp, (40, 30, 3)))
    picture = pixels(make(photo, width=30, height=70, top=15, seed=seed)).mean((1, 2))
    assert picture[:15].max() < 60
    assert picture[-15:].min() > 195


@pytest.mark.parametrize("mode", ["extend", "wrap"])
def test_joins_look_like_any_other_place(mode):
    photo = landscape(36, 30)
    picture = make(photo, mode, width=72, left=20)
    joins = [20, 56] + ([0] if mode == "wrap" else [])
    ratios = [single_image.seam_ratio(picture, column) for column in joins]
    assert max(ratios) < 1.3
    picture.paste(Image.eval(photo, lambda value: value * 2 // 3), (20, 0))  # This one is visible.
    assert min(single_image.seam_ratio(picture, column) for column in (20, 56)) > 2


def test_the_end_of_a_strip_that_wraps_goes_over_into_its_start():
    angle = np.arange(60)[None, :, None] * (2 * math.pi / 24)
    photo = with_grain(np.broadcast_to(127 + 90 * np.sin(angle), (24, 60, 3)), 2)
    wrapped, extended = (make(photo, mode, width=90, left=20) for mode in ("wrap", "extend"))
    assert single_image.seam_ratio(wrapped, 0) < 1.7
    assert single_image.seam_ratio(extended, 0) > 5  # Its waves do not meet.


@cache
def wall(mode):
    return make(bricks(), mode, width=80)


def offered():
    """The bricks, a wider copy and a narrower one side by side: what a picture is made of."""
    copies = [bricks().resize((round(48 * k), 36), Image.Resampling.BICUBIC) for k in STRETCHES]
    return Image.fromarray(np.concatenate([np.asarray(one) for one in (bricks(), *copies)], 1))


@pytest.mark.parametrize("mode", MODES)
def test_all_that_is_shown_is_from_the_photo(mode):
    own = float(single_image.coherence(wall(mode), offered()))
    blurred = wall(mode).filter(ImageFilter.GaussianBlur(0.8))
    assert own < 8
    assert float(single_image.coherence(blurred, offered())) > 2 * own


@pytest.mark.parametrize("mode", MODES)
def test_a_new_picture_is_as_sharp_as_the_photo(mode):
    contrasts = [np.abs(np.diff(pixels(one))).mean() for one in (wall(mode), bricks())]
    assert 0.85 < contrasts[0] / contrasts[1] < 1.15


@cache
def signs():
    """Small signs, each red to the left and green to the right, on an uneven ground."""
    ground = np.full((36, 48, 3), 90.0)
    for y, x in ((6, 4), (22, 10), (8, 22), (24, 28), (10, 38)):
        ground[y : y + 6, x : x + 3] = [240, 20, 20]
        ground[y : y + 6, x + 3 : x + 6] = [20, 240, 20]
    return with_grain(ground)


def turned(picture):
    """How many pixels of red have green at their left side and none at their right."""
    red, green = (
        (pixels(picture)[..., c] > 160) & (pixels(picture)[..., 1 - c] < 90) for c in (0, 1)
    )
    return int((red[:, 3:-3] & green[:, :-6] & ~green[:, 6:]).sum())


@pytest.mark.parametrize("mode", MODES)
def test_writing_is_not_mirrored_unless_allowed(mode):
    picture = make(signs(), mode, width=72, mirror=False, uniqueness=0, variety=0.2)
    assert turned(picture) == 0


@pytest.mark.parametrize("mode", ["extend", "resample", "wrap"])
def test_nothing_is_mirrored_unless_asked_for(mode):
    assert turned(make(signs(), mode, width=96, uniqueness=0, variety=0.2)) == 0


def test_things_may_be_mirrored():
    assert turned(signs()) == 0
    assert turned(signs().transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > 50
    assert turned(make(signs(), width=96, mirror=True, uniqueness=0, variety=0.2)) > 10


def test_a_picture_that_is_not_as_high_as_its_photo_grows_patch_by_patch():
    photo = signs()
    taller = make(photo, width=72, height=48)
    assert cut(taller, photo, 12, 6).tobytes() == photo.tobytes()


def test_a_retargeted_picture_keeps_its_order_from_left_to_right():
    ramp = np.linspace(10, 245, 64)[None, :, None]
    photo = with_grain(np.broadcast_to(ramp, (32, 64, 3)), 3)
    for width in (48, 80):
        columns = pixels(make(photo, "retarget", width=width)).mean((0, 2))
        assert np.diff(columns).min() > 0
        assert columns[0] < 25
        assert columns[-1] > (230 if width > 64 else 170)  # There is room for less of it.


@pytest.mark.parametrize("width", [32, 48, 96])
def test_what_stands_alone_is_there_once_in_a_retargeted_picture(width):
    ground = np.full((32, 64, 3), 120.0)
    ground[:, 2:8], ground[:, 56:62] = [230, 30, 30], [30, 30, 230]  # Two posts.
    columns = pixels(make(with_grain(ground, 10), "retarget", width=width)).mean(0)
    redness = columns[:, 0] - columns[:, 2]
    assert (redness > 100).nonzero()[0].tolist() == list(range(2, 8))
    assert (redness < -100).nonzero()[0].tolist() == list(range(width - 8, width - 2))


def numbered(width=60):
    """A photo [3, 24, width] whose columns say where they are, and repeat every 20."""
    tile = np.random.default_rng(3).normal(0, 0.3, (24, 20, 3))
    return as_photo(np.tile(tile, (1, width // 20, 1)))


def followers(photo, length, likes=None, **arguments):
    likes = torch.zeros(photo.shape[2]) if likes is None else likes
    return synthesis.continuation(photo, length, PatchSettings(), likes, **arguments)


@pytest.mark.parametrize("length", [0, 1, 15, 30, 90])
def test_a_photo_is_continued_by_whole_pieces_that_fit_where_they_are_cut(length):
    columns = followers(numbered(), length)
    assert len(columns) == length
    follows = torch.cat([torch.tensor([59]), columns])
    assert (follows.diff() % 20 == 1).all()  # Each column is the next one, if of another tile.
    assert (follows.diff() != 1).sum() <= 1 + length // 20  # And few pieces do.


def test_a_circle_is_closed_where_its_ends_fit():
    assert int(followers(numbered(), 40, closes=True)[-1]) % 20 == 19


def test_what_stands_alone_is_not_repeated_where_something_else_would_do():
    photo = lone_object()  # Columns 20 to 27.
    columns = followers(photo, 20)
    assert not ((columns >= 20) & (columns < 28)).any()


def test_seeds_like_other_columns():
    likes = torch.zeros(60)
    likes[:30] = 1.0
    either = followers(numbered(), 25, likes), followers(numbered(), 25, likes.flip(0))
    assert not torch.equal(*either)


def as_photo(columns):
    return torch.from_numpy(columns).float().permute(2, 0, 1)


def lone_object(period=6):
    """A texture that repeats exactly, [3, 24, 48], but for the columns 20 to 27."""
    tile = np.random.default_rng(1).normal(0, 0.3, (24, period, 3))
    columns = np.tile(tile, (1, 48 // period, 1))
    columns[:, 20:28] = np.random.default_rng(2).normal(0, 0.6, (24, 8, 3))
    return as_photo(columns)


@pytest.mark.parametrize("length", [16, 30, 47, 48, 49, 64, 128, 384])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_path_leads_from_the_first_column_to_the_last(length, seed):
    photo = as_photo(np.random.default_rng(seed).normal(0, 0.4, (20, 48, 3)))
    path = synthesis.cheapest_path(photo, length, PatchSettings())
    assert path.shape == (length,)
    assert (path[0], path[-1]) == (0, 47)
    assert path.min() >= 0
    assert path.max() <= 47
    jumps = path.diff()[path.diff() != 1] - 1
    assert (jumps.abs() >= 7).all()
    if length == 48:
        assert path.equal(torch.arange(48))


@pytest.mark.parametrize("length", [16, 24, 30, 36, 42, 49, 60, 72, 96, 200, 384])
def test_what_is_alone_is_passed_once(length):
    path = synthesis.cheapest_path(lone_object(), length, PatchSettings())
    assert torch.bincount(path, minlength=48)[20:28].tolist() == [1] * 8


@pytest.mark.parametrize("mode", MODES)
def test_the_smallest_photo_can_become_eight_times_as_long(mode):
    photo = noise(16, 16)
    for size in ((128, 16), (16, 128)):
        assert make(photo, mode, width=size[0], height=size[1]).size == size


@pytest.mark.parametrize("mode", MODES)
def test_a_very_wide_photo_will_do(mode):
    assert make(landscape(128, 16), mode, width=148).size == (148, 16)


def test_a_photo_of_which_the_coarsest_level_would_be_endless_is_refused():
    with pytest.raises(ValueError, match="at most 8 times as long as wide, got 8000 x 16"):
        make(landscape(8000, 16), "extend", height=24)


@pytest.mark.parametrize("mode", MODES)
def test_a_photo_with_almost_nothing_in_it_will_do(mode):
    photo = Image.new("RGB", (24, 24), (30, 60, 90))
    photo.putpixel((12, 10), (255, 255, 255))
    picture = pixels(make(photo, mode, width=40, height=30))
    assert np.abs(np.median(picture, (0, 1)) - [30, 60, 90]).max() <= 2


def test_an_eighth_of_the_photo_will_do():
    photo = landscape(128, 80)
    for mode in ("resample", "retarget"):
        assert make(photo, mode, width=16, height=16).size == (16, 16)


@pytest.mark.parametrize("stop_after", [1, 99])
def test_threads_are_as_before_whether_the_steps_are_finished_or_not(stop_after):
    with threads_for(1 << 30):
        torch.set_num_threads(2)
        steps = PIPELINE.steps(landscape(32, 32), width=40)
        for taken, _ in enumerate(steps, 1):
            assert torch.get_num_threads() == 2
            if taken == stop_after:
                break
        steps.close()
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("size", [(20, 28), (24, 29), (20, 40)])
def test_every_patch_has_one_of_the_photos_from_the_beginning(size, wrap):
    photo = images.to_float(images.from_pil([noise(28, 20)]))[0]
    canvas = Canvas(*size, anchored=True, wrap=wrap)
    level = Level(photo, canvas, 1.0, PatchSettings())
    field = synthesis.grow(level, torch.Generator().manual_seed(0))
    assert field.min() >= 0
    assert not level.source.straddles[field].any()
    assert field[level.own >= 0].equal(level.own[level.own >= 0])


@pytest.mark.parametrize("mode", MODES)
def test_the_engine_gives_finite_levels_of_growing_size(mode):
    photo = images.to_float(images.from_pil([landscape(40, 32)]))[0]
    start = {"extend": "grow", "wrap": "grow", "resample": "strip", "retarget": "path"}[mode]
    grows = start == "grow"
    canvas = Canvas(36, 50, 4, 5, anchored=True, wrap=mode == "wrap") if grows else Canvas(36, 50)
    levels = list(synthesis.synthesize(photo, canvas, start, seed=0))
    assert levels[-1].shape == (3, 36, 50)
    assert all(level.isfinite().all() and level.abs().max() <= 1 for level in levels)
    if grows:
        assert levels[-1][:, 4:, 5:45].equal(photo)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((20, 20, 3), np.float32), "an array must be a picture of uint8 .* got float32"),
        ("photo.png", "image must be a PIL image or a uint8 array, got str"),
        (None, "image must be a PIL image or a uint8 array, got NoneType"),
        (noise(15, 40), "must be 16 x 16 pixels or more .* got 15 x 40"),
        (noise(40, 15), "must be 16 x 16 pixels or more .* got 40 x 15"),
        (Image.new("RGB", (4097, 2051)), "at most 8400000 pixels, got 4097 x 2051"),
        (Image.new("RGB", (20, 20), (1, 2, 3)), "the photo is all of one colour"),
    ],
)
def test_a_photo_that_will_not_do_is_refused(photo, message):
    with pytest.raises(ValueError, match=message):
        PIPELINE(photo)
    with pytest.raises(ValueError, match=message):
        PIPELINE.steps(photo)  # Before the first step is taken.


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_images", 0, "num_images must be a whole number from 1 to 256, got 0"),
        ("num_images", 257, "num_images must be a whole number from 1 to 256, got 257"),
        ("mode", "grow", "mode must be one of extend, resample, retarget, wrap, got 'grow'"),
        ("mode", None, "mode must be one of .*, got None"),
        ("mode", ["extend"], r"mode must be one of .*, got \['extend'\]"),
        ("seed", -1, "seed must be a whole number from 0 to .*, got -1"),
        ("seed", 2**63, "seed must be a whole number from 0 to .*, got 9223372036854775808"),
        ("seed", "7", "seed must be a whole number from 0 to .*, got '7'"),
        ("seed", 1.5, "seed must be a whole number from 0 to .*, got 1.5"),
        ("seed", True, "seed must be a whole number from 0 to .*, got True"),
        ("seed", math.nan, "seed must be a whole number from 0 to .*, got nan"),
        *(
            (name, value, f"{name} must be a whole number from {low} to {8 * low}, got {value!r}")
            for name, low in (("width", 32), ("height", 24))
            for value in (0, -1, low - 1, 8 * low + 1, 99_999, 40.0, "40", True, math.nan)
        ),
        *(
            (name, value, f"{name} must be a whole number from 0 to {room}, got {value!r}")
            for name, room in (("left", 32), ("top", 0))
            for value in (-1, room + 1, 1.0, "1", True, math.nan)
        ),
        *(("mirror", v, "mirror must be True or False, got") for v in (0, 1, "yes", math.nan)),
        *(
            (name, value, f"{name} must be a number from 0 to {most}, got {value!r}")
            for name, most in (("variety", 1), ("uniqueness", 2))
            for value in (-0.1, most + 0.1, math.nan, math.inf, "0", True)
        ),
    ],
)
def test_impossible_requests_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        PIPELINE(landscape(), **{name: value})


@pytest.mark.parametrize(
    ("mode", "arguments", "message"),
    [
        ("resample", {"left": 0}, "left and top are for extend and wrap, not for resample"),
        ("retarget", {"top": 0}, "left and top are for extend and wrap, not for retarget"),
        ("retarget", {"width": 15}, "width must be a whole number from 16 to 256, got 15"),
        ("resample", {"height": 193}, "height must be a whole number from 16 to 192, got 193"),
    ],
)
def test_what_a_mode_cannot_do_is_refused(mode, arguments, message):
    with pytest.raises(ValueError, match=message):
        PIPELINE.steps(landscape(), mode=mode, **arguments)


def test_a_picture_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match="at most 8400000 pixels, got 8000 x 8000"):
        PIPELINE.steps(bricks(1000, 1000), width=8000, height=8000)


def test_the_engine_is_loaded_by_its_name():
    pipeline = genmodels.load("patches")
    assert isinstance(pipeline, PatchPipeline)
    picture = pipeline(landscape(), width=40, seed=1).images[0]
    assert picture.tobytes() == make(landscape(), width=40).tobytes()


def test_a_folder_is_refused_as_there_is_nothing_to_load_from_it(tmp_path):
    """Version 0.4 saved such folders."""
    index = {"_class_name": "genmodels.PatchPipeline", "_diffusers_version": "0.39.0"}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"pipeline must be one of .* got 'PatchPipeline'"):
        genmodels.load(tmp_path)


def test_what_a_level_forgets_is_found_again():
    photo = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    source = Source(photo, (24, 32), PatchSettings())
    keys = source.keys
    source.forget()
    assert "keys" not in vars(source)
    assert torch.equal(source.keys, keys)


@pytest.mark.parametrize("size", [(16_384, 16_384), (10**6, 17), (17, 10**6)])
def test_a_picture_that_is_too_large_is_refused_before_anything_is_made(size):
    photo = Image.effect_noise((4096, 2000), 50).convert("RGB")
    with pytest.raises(ValueError, match=r"at most|must be"):
        PatchPipeline().steps(photo, mode="resample", width=size[0], height=size[1])
