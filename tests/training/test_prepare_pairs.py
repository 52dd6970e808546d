"""prepare/pairs.py and pair_checks.py: pictures to pairs in three splits that share nothing."""

import csv
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from training.prepare import pair_checks
from training.prepare.pairs import Coloring, Comic, Joined, Monet, Paired, prepare

SPLITS = ("train", "validation", "held_out")


def photo(seed, side=64):
    """Coloured blots, sharp enough to be registered, another picture for each seed."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


def redrawn(picture):
    """A target that lies on its source: darker and harder."""
    return ImageOps.posterize(picture.filter(ImageFilter.SMOOTH), 3).point(lambda v: int(0.8 * v))


@pytest.fixture
def folders(tmp_path):
    """Forty pairs of JPEGs and PNGs."""
    for name in ("photos", "targets"):
        (tmp_path / name).mkdir()
    for index in range(40):
        photo(index).save(tmp_path / "photos" / f"{index:03d}.jpg", quality=95)
        redrawn(photo(index)).save(tmp_path / "targets" / f"{index:03d}.png")
    return tmp_path


@pytest.fixture
def config(folders):
    return Paired(
        photos=folders / "photos",
        targets=folders / "targets",
        out=folders / "out",
        resolution=64,
    )


def table(config):
    with (config.out / "pairs.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def files(config, side="source"):
    """Where each name lies."""
    found = {}
    for split in SPLITS:
        for path in (config.out / split / side).iterdir():
            assert path.name not in found
            found[path.name] = split
    return found


def test_both_sides_have_the_same_names_and_sizes_in_three_splits(config, capsys):
    counts = prepare(config)
    assert tuple(counts) == SPLITS
    assert sum(counts.values()) == 40
    assert min(counts.values()) > 0
    assert files(config) == files(config, "target")
    assert Counter(files(config).values()) == counts
    assert {name: row["split"] for name, row in table(config).items()} == files(config)
    for path in (*config.out.glob("*/source/*"), *config.out.glob("*/target/*")):
        with Image.open(path) as picture:
            assert (picture.mode, picture.size) == ("RGB", (64, 64))
    said = capsys.readouterr().out
    assert "40 of 40 pictures or pairs kept" in said
    assert "40 groups, 0 of several pairs" in said
    assert "nearest sources across splits" in said


def test_the_sheet_has_two_rows_for_each_split(config):
    prepare(config)
    with Image.open(config.out / "sheet.png") as sheet:
        assert sheet.size == (8 * 130 - 2, 6 * 130 - 2)


def test_the_same_command_again_writes_the_same_bytes(config):
    def everything():
        return {p: p.read_bytes() for p in sorted(config.out.rglob("*")) if p.is_file()}

    prepare(config)
    first = everything()
    (config.out / "train" / "source" / "stale.png").write_bytes(b"")
    prepare(config)
    assert everything() == first


def test_no_pair_changes_splits_when_others_come_or_go(config):
    prepare(config)
    before = files(config)
    for name in ("003", "017"):
        (config.photos / f"{name}.jpg").unlink()
        (config.targets / f"{name}.png").unlink()
    photo(999).save(config.photos / "new.jpg")
    redrawn(photo(999)).save(config.targets / "new.png")
    prepare(config)
    after = files(config)
    assert after.keys() - before == {"new.png"}
    assert all(before[name] == split for name, split in after.items() if name != "new.png")


def test_a_limit_chooses_the_same_pairs_whatever_else_there_is(config):
    prepare(replace(config, limit=36))
    chosen = set(files(config))
    gone = sorted({f"{index:03d}.png" for index in range(40)} - chosen)
    for name in gone:
        (config.photos / name).with_suffix(".jpg").unlink()
        (config.targets / name).unlink()
    prepare(replace(config, limit=36))
    assert set(files(config)) == chosen


def test_near_duplicates_stay_in_one_split_even_mirrored_or_on_the_targets_side_only(config):
    for index in range(13):
        again = photo(index).point(lambda v: min(255, int(0.9 * v + 10)))
        again.save(config.photos / f"a{index:03d}.jpg", quality=80)
        redrawn(photo(500 + index)).save(config.targets / f"a{index:03d}.png")
        ImageOps.mirror(photo(13 + index)).save(config.photos / f"b{index:03d}.png")
        redrawn(photo(600 + index)).save(config.targets / f"b{index:03d}.png")
        photo(700 + index).save(config.photos / f"c{index:03d}.png")
        redrawn(photo(26 + index)).save(config.targets / f"c{index:03d}.png")
    prepare(replace(config, max_shift=None))
    where, rows = files(config), table(config)
    for index in range(13):
        for kind, offset in (("a", 0), ("b", 13), ("c", 26)):
            again, first = f"{kind}{index:03d}.png", f"{index + offset:03d}.png"
            assert rows[again]["group"] == rows[first]["group"] == first
            assert where[again] == where[first]


def test_pairs_with_the_same_pixels_are_dropped_but_one(config):
    for folder in (config.photos, config.targets):
        path = next(folder.glob("007.*"))
        path.with_stem("x07").write_bytes(path.read_bytes())
    assert sum(prepare(config).values()) == 40
    assert table(config)["x07.png"]["dropped"] == "the same pixels as 007.png"


def test_a_target_that_lies_beside_its_source_is_dropped_with_the_distance(config, capsys):
    wide = photo(900, 128)
    wide.crop((30, 30, 94, 94)).save(config.photos / "beside.png")
    redrawn(wide.crop((33, 30, 97, 94))).save(config.targets / "beside.png")
    prepare(config)
    row = table(config)["beside.png"]
    assert abs(float(row["shift_px"]) - 12) < 2  # 3 px of 64 are 12 of 256.
    assert "px beside the source" in row["dropped"]
    assert row["split"] == ""
    assert "beside.png" not in files(config)
    assert "dropped photos/beside.png: the target lies" in capsys.readouterr().out
    prepare(replace(config, max_shift=None))
    assert "beside.png" in files(config)


def test_unreadable_pictures_and_unequal_sizes_are_dropped_with_a_line(config, capsys):
    (config.photos / "001.jpg").write_text("not a picture")
    photo(2, 72).save(config.targets / "002.png")
    assert sum(prepare(config).values()) == 38
    rows = table(config)
    assert "not a readable" in rows["001.png"]["dropped"]
    assert rows["002.png"]["dropped"] == "sizes differ: (64, 64) and (72, 72)"
    assert "38 of 40 pictures or pairs kept" in capsys.readouterr().out


def test_a_small_set_has_enough_held_out_and_a_smaller_one_loses_nothing(config):
    for side in (config.photos, config.targets):
        for path in side.iterdir():
            path.unlink()
    for number in range(60):  # Their hashes put none of them apart.
        photo(number).save(config.photos / f"{number}.png")
        photo(number).save(config.targets / f"{number}.png")
    counts = prepare(config)
    assert counts["held_out"] == 4
    assert counts["train"] > 40 > 0 < counts["validation"]
    before = {path: path.read_bytes() for path in config.out.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="too few pairs for three splits"):
        prepare(replace(config, limit=8))
    assert {path: path.read_bytes() for path in config.out.rglob("*") if path.is_file()} == before


def test_names_that_differ_by_their_ending_alone_are_an_error(config):
    for side in (config.photos, config.targets):
        photo(1).save(side / "007.jpg")
    with pytest.raises(ValueError, match=r"must differ without their endings, got 007\.jpg"):
        prepare(config)
    assert not config.out.exists()


def test_names_without_a_partner_are_an_error_that_says_which(config):
    photo(1).save(config.photos / "alone.png")
    with pytest.raises(ValueError, match=r"only .*photos has alone"):
        prepare(config)
    assert not config.out.exists()


def test_too_few_pairs_no_pairs_and_no_folder_are_errors(config, tmp_path):
    with pytest.raises(ValueError, match="too few pairs for three splits"):
        prepare(replace(config, limit=3))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must hold pictures"):
        prepare(replace(config, photos=tmp_path / "empty"))
    with pytest.raises(ValueError, match="must be a folder"):
        prepare(replace(config, targets=tmp_path / "missing"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 32}, "resolution must be 64 to 1024"),
        ({"limit": 0}, "limit must be"),
        ({"max_shift": float("nan")}, "max_shift must be"),
        ({"max_shift": -1.0}, "max_shift must be"),
    ],
)
def test_settings_outside_their_ranges_are_refused(config, changes, message):
    with pytest.raises(ValueError, match=message):
        prepare(replace(config, **changes))
    assert not config.out.exists()


def test_a_folder_of_somebody_else_is_not_touched(config):
    config.out.mkdir()
    (config.out / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="not empty and was not written by prepare_pairs"):
        prepare(config)
    assert [path.name for path in config.out.iterdir()] == ["thesis.txt"]


# The tasks.


def test_coloring_writes_targets_only_and_drops_what_is_near_grey(folders, capsys):
    for index in range(5):
        photo(index).convert("L").save(folders / "photos" / f"grey{index}.png")
    config = Coloring(photos=[folders / "photos"], out=folders / "out", resolution=64)
    assert sum(prepare(config).values()) == 40
    assert len(files(config, "target")) == 40
    assert not list(config.out.glob("*/source"))
    assert table(config)["grey0.png"]["dropped"] == "near-grey"
    assert "40 of 45 pictures or pairs kept" in capsys.readouterr().out


def test_coloring_from_two_folders_names_pictures_after_both(folders):
    config = Coloring(photos=[folders / "photos", folders / "targets"], out=folders / "out")
    prepare(replace(config, resolution=64))
    names = set(files(config, "target"))
    assert {"photos-001.png", "targets-001.png"} <= names
    assert len(names) == 80
    prepare(replace(config, resolution=64, limit_each=25))
    fewer = set(files(config, "target"))
    assert fewer < names
    assert [sum(name.startswith(x) for name in fewer) for x in ("photos", "targets")] == [25, 25]
    with pytest.raises(ValueError, match="limit_each must be 1 or more, got 0"):
        prepare(replace(config, limit_each=0))


@pytest.fixture
def comic(folders):
    """Two styles; the last 10 show the persons of the first 10 in another one."""
    lines = [["file", "style", "repo", "path", "tile"]]
    for index in range(40):
        style, tile = ("v2", index - 30) if index >= 30 else ("v1", index)
        lines.append([f"{index:03d}.jpg", style, "a/b", f"samples/{style}.jpg", tile])
    with (folders / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return Comic(
        photos=folders / "photos",
        targets=folders / "targets",
        labels=folders / "labels.csv",
        out=folders / "out",
        resolution=64,
    )


def test_one_style_of_comics_is_kept_or_all(comic):
    assert sum(prepare(comic).values()) == 30
    assert {row["style"] for row in table(comic).values()} == {"v1"}
    assert sum(prepare(replace(comic, style="all")).values()) == 40
    with pytest.raises(ValueError, match='style must be "all" or one of'):
        prepare(replace(comic, style="v3"))
    with pytest.raises(ValueError, match="needs labels"):
        prepare(replace(comic, labels=None))


def test_one_person_in_two_styles_is_in_one_split_of_the_same_name_whatever_is_kept(comic):
    prepare(replace(comic, style="all"))
    together = table(comic)
    for index in range(10):
        first, second = together[f"{index:03d}.png"], together[f"{index + 30:03d}.png"]
        assert first["group"] == second["group"] == first["name"]
        assert first["split"] == second["split"]
    prepare(comic)
    assert all(row["split"] == together[name]["split"] for name, row in table(comic).items())


def test_comics_are_drawn_for_faces_without_one(folders, comic):
    config = Comic(from_photos=folders / "photos", out=folders / "out", resolution=64)
    prepare(config)
    rows = table(config)
    assert all(name.startswith("inked-") for name in rows)
    assert {row["style"] for row in rows.values()} == {"teacher"}
    both = replace(comic, from_photos=folders / "photos")
    assert sum(prepare(both).values()) == 70
    rows = table(both)
    assert rows["003.png"]["split"] == rows["inked-003.png"]["split"]
    with pytest.raises(ValueError, match="or from_photos, got neither"):
        prepare(Comic(out=folders / "new"))
    with pytest.raises(ValueError, match="given together"):
        prepare(Comic(photos=folders / "photos", out=folders / "new"))


def test_a_table_without_its_columns_is_refused(comic):
    comic.labels.write_text("file,kind\n")
    with pytest.raises(ValueError, match=r"it lacks \{'style'\}"):
        prepare(comic)


def test_photographs_are_painted_by_the_paintings(folders):
    config = Monet(
        photos=folders / "photos",
        paintings=folders / "targets",
        out=folders / "out",
        resolution=64,
    )
    for path in sorted((folders / "photos").iterdir())[30:]:
        path.unlink()
    for path in sorted((folders / "targets").iterdir())[3:]:
        path.unlink()
    assert sum(prepare(config).values()) == 30
    assert files(config) == files(config, "target")


def test_joined_files_are_cut_into_their_halves(folders):
    (folders / "joined").mkdir()
    for index in range(40):
        both = Image.new("RGB", (128, 64))
        both.paste(photo(index), (0, 0))
        both.paste(redrawn(photo(index)), (64, 0))
        both.save(folders / "joined" / f"{index:03d}.png")
    Image.new("RGB", (127, 64)).save(folders / "joined" / "odd.png")
    config = Joined(joined=folders / "joined", out=folders / "out", resolution=64)
    for swap, side in ((False, "source"), (True, "target")):
        assert sum(prepare(replace(config, swap=swap)).values()) == 40
        for name, split in files(config).items():
            with Image.open(config.out / split / side / name) as picture:
                assert (np.asarray(picture) == np.asarray(photo(int(name[:3])))).all()
    assert "width must be even, got 127" in table(config)["odd.png"]["dropped"]


@pytest.mark.slow
def test_the_script_runs_from_the_command_line(config):
    flags = ["--photos", config.photos, "--targets", config.targets, "--out", config.out]
    command = [
        sys.executable,
        "-m",
        "training.prepare.pairs",
        "paired",
        *flags,
        "--resolution",
        "64",
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert len(files(config)) == 40


# The checks.


@pytest.mark.parametrize("shift", [(0, 0), (5, 0), (0, -7), (-6, 9)])
@pytest.mark.parametrize("side", [128, 256])
def test_a_known_shift_is_measured_in_pixels_at_256(shift, side):
    wide = photo(3, 512).resize((2 * side,) * 2)
    x, y = (side // 2 + value * side // 256 for value in shift)
    middle = (side // 2, side // 2, side // 2 + side, side // 2 + side)
    source = np.array(wide.crop(middle))
    target = np.array(redrawn(wide.crop((x, y, x + side, y + side))))
    found = pair_checks.registration(source, target)
    exact = np.hypot(x - side // 2, y - side // 2) * 256 / side
    assert abs(found.shift_px - exact) < 0.3
    assert found.beside(2.0) == (exact > 2)
    assert found.moved_correlation > 0.8


def test_a_picture_without_edges_is_not_said_to_lie_beside():
    flat, picture = np.full((64, 64, 3), 99, np.uint8), np.array(photo(0))
    for source, target in ((flat, picture), (picture, flat), (flat, flat)):
        assert pair_checks.registration(source, target) == (0, 0, 0)


def test_registration_refuses_pictures_of_two_sizes():
    with pytest.raises(ValueError, match="source and target must agree"):
        pair_checks.registration(np.array(photo(0)), np.array(photo(0, 72)))
    with pytest.raises(ValueError, match="target must be uint8"):
        pair_checks.registration(np.array(photo(0)), np.zeros((64, 64, 3)))


def test_groups_are_closed_and_named_after_their_first():
    alike = pair_checks.describe(np.array(photo(0)))
    other = [pair_checks.describe(np.array(photo(seed))) for seed in range(1, 5)]
    sources = np.stack([other[0], alike, alike, other[1], other[2]])
    targets = np.stack([other[3], other[0], other[1], other[2], other[3]])
    names = ["e", "d", "c", "b", "a"]
    related = ["", "", "", "c", ""]
    # d and c by their sources, b by what it is related to, e and a by their targets.
    assert pair_checks.groups(names, [sources, targets], related) == ["a", "b", "b", "b", "a"]


def test_the_splits_have_their_shares_and_stay_for_ever():
    names = [f"{index:05d}.png" for index in range(5000)]
    splits = {name: pair_checks.split_of(name) for name in names}
    shares = Counter(splits.values())
    assert all(abs(shares[s] / 5000 - share) < 0.015 for s, share in pair_checks.SPLITS.items())
    # Written down once: what was held out must stay so in every release.
    held_out = [name for name in names if splits[name] == "held_out"]
    assert held_out[:3] == ["00001.png", "00004.png", "00027.png"]


def test_a_picture_in_two_splits_is_found_even_mirrored():
    looks = np.stack([pair_checks.describe(np.array(photo(seed))) for seed in range(6)])
    mirrored = pair_checks.describe(np.array(ImageOps.mirror(photo(1))))[None]
    splits = {"train": looks[:4], "validation": looks[4:], "held_out": mirrored}
    nearest, places = pair_checks.nearest_across(splits)
    assert nearest > pair_checks.LEAK
    assert places == {"train": 1, "held_out": 0}
    nearest, _ = pair_checks.nearest_across({"train": looks[:4], "held_out": looks[4:]})
    assert nearest < 0.9
    with pytest.raises(ValueError, match="got none in held_out"):
        pair_checks.nearest_across({"train": looks, "held_out": looks[:0]})


def test_an_enlarged_photograph_is_pixelated_and_others_are_not():
    rng = np.random.default_rng(0)
    small = np.array(photo(0, 64)).astype(int) + rng.integers(-20, 20, (64, 64, 3))
    small = np.clip(small, 0, 255).astype(np.uint8)
    large = small.repeat(4, axis=0).repeat(4, axis=1)
    assert pair_checks.pixelated(large)
    assert not pair_checks.pixelated(np.array(Image.fromarray(small).resize((256, 256))))
    assert not pair_checks.pixelated(np.full((64, 64, 3), 99, np.uint8))


def test_grey_has_no_chroma():
    assert pair_checks.chroma(np.array(photo(0).convert("L").convert("RGB"))) < 0.1
    assert pair_checks.chroma(np.array(photo(0))) > 20
