"""Pairs: read from two folders, cut and mirrored alike, held out by name."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from genmodels.data.paired_folder import PairFolder


def picture(seed, side=40):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path):
    for side in ("source", "target"):
        (tmp_path / side).mkdir()
        for number in range(20):
            picture((number, side == "target")).save(tmp_path / side / f"{number:02d}.png")
    return tmp_path


def test_partners_stand_in_the_same_row(folder):
    picture((3, False)).save(folder / "source" / "03.bmp")
    (folder / "source" / "03.png").unlink()
    pairs = PairFolder(folder, 40)
    assert len(pairs) == 20
    assert pairs.names[3] == "03"
    for number in (0, 3, 19):
        for side, own in (("source", pairs.sources), ("target", pairs.targets)):
            wanted = np.asarray(picture((number, side == "target"))).transpose(2, 0, 1)
            assert np.array_equal(own[number].numpy(), wanted)


def test_both_sides_change_places_in_reverse(folder):
    there, back = PairFolder(folder, 40), PairFolder(folder, 40, reverse=True)
    assert back.names == there.names
    assert back.sources.equal(there.targets)
    assert back.targets.equal(there.sources)
    assert back.fingerprint != there.fingerprint
    shutil.rmtree(folder / "source")
    with pytest.raises(ValueError, match="must hold the folder source to be learnt from in"):
        PairFolder(folder, 40, reverse=True)


def test_a_misspelt_folder_of_sources_is_not_taken_for_none(folder):
    (folder / "source").rename(folder / "sources")
    with pytest.raises(ValueError, match="has sources beside target"):
        PairFolder(folder, 40)


def test_what_two_folders_share_is_found_to_the_pixel(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder / "source", other / "source")
    shutil.copytree(folder / "target", other / "target")
    for side in ("source", "target"):
        for number in range(20):
            (other / side / f"{number:02d}.png").rename(other / side / f"x{number}.png")
    for number in range(2, 20):  # A target that repeats is no pair that does.
        picture(number + 99).save(other / "source" / f"x{number}.png")
    shutil.move(other, tmp_path.parent / f"{tmp_path.name}-other")
    found = PairFolder(tmp_path.parent / f"{tmp_path.name}-other", 40)
    assert PairFolder(folder, 40).repeated(found) == ["x0", "x1"]


def test_without_sources_the_targets_in_grey_are_they(folder):
    for path in (folder / "source").iterdir():
        path.unlink()
    (folder / "source").rmdir()
    pairs = PairFolder(folder, 32)
    assert torch.equal(pairs.sources[:, 0], pairs.sources[:, 2])
    assert not torch.equal(pairs.targets[:, 0], pairs.targets[:, 2])
    grey = Image.fromarray(pairs.targets[5].permute(1, 2, 0).numpy()).convert("L")
    assert np.array_equal(pairs.sources[5, 0].numpy(), np.asarray(grey))


def test_both_of_a_pair_are_cut_and_mirrored_alike(folder):
    pairs = PairFolder(folder, 40)
    pairs.targets = 255 - pairs.sources
    flips, boxes = np.array([True, False]), np.array([[0, 8, 32], [3, 1, 32]])
    source, target = pairs.batch([4, 9], flips=flips, boxes=boxes, side=32)
    assert source.shape == (2, 3, 32, 32)
    assert torch.equal(target, 255 - source)
    assert torch.equal(source[0].flip(-1), pairs.sources[4, :, :32, 8:])
    assert torch.equal(source[1], pairs.sources[9, :, 3:35, 1:33])
    source[:] = 0
    assert pairs.sources.max() > 0  # A copy.


def test_holding_out_divides_by_name_whatever_the_size(folder):
    learnt, apart = PairFolder(folder, 40).hold_out(0.3)
    again = PairFolder(folder, 24).hold_out(0.3)
    assert set(learnt.names) & set(apart.names) == set()
    assert len(learnt) + len(apart) == 20
    assert again[1].names == apart.names
    assert again[1].fingerprint != apart.fingerprint
    for fraction in (0, 1, 1e-9):
        with pytest.raises(ValueError, match=r"fraction|too few"):
            PairFolder(folder, 24).hold_out(fraction)


def test_what_cannot_be_paired_is_told(folder, tmp_path):
    (folder / "source" / "07.png").write_bytes(b"no image")
    assert [name for name, _ in PairFolder(folder, 24).skipped] == ["07.png"]
    assert "07" not in PairFolder(folder, 24).names
    (folder / "source" / "11.png").unlink()
    with pytest.raises(ValueError, match="1 have none: 11"):
        PairFolder(folder, 24)
    with pytest.raises(ValueError, match="has no target"):
        PairFolder(tmp_path / "source", 24)
    picture(1).save(folder / "target" / "05.bmp")
    with pytest.raises(ValueError, match="differ in their endings only"):
        PairFolder(folder, 24)


def test_a_pair_of_other_proportions_is_left_out_and_told(folder):
    picture(1).resize((90, 60)).save(folder / "source" / "04.png")  # The target is a square.
    picture(2).resize((200, 202)).save(folder / "source" / "05.png")
    for side, size in (("source", (60, 30)), ("target", (120, 60))):
        picture(3).resize(size).save(folder / side / "06.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # Shown as 30 x 60.
    picture(4).resize((60, 30)).save(folder / "source" / "08.png", exif=turned)
    picture(5).resize((30, 60)).save(folder / "target" / "08.png")
    pairs = PairFolder(folder, 24)
    assert pairs.skipped == [("04", "source and target are 1.5 and 1 times as wide as high")]
    assert len(pairs) == 19
    assert "04" not in pairs.names
    wanted = Image.open(folder / "target" / "05.png").resize((24, 24), Image.Resampling.LANCZOS)
    assert np.array_equal(pairs.targets[4].numpy(), np.asarray(wanted).transpose(2, 0, 1))


def test_pairs_of_other_proportions_alone_are_refused(folder):
    for path in (folder / "source").iterdir():
        picture(1).resize((60, 40)).save(path)
    with pytest.raises(ValueError, match=r"no readable pair \(00: source and target are 1.5 and 1"):
        PairFolder(folder, 24)


def test_a_smaller_square_is_enlarged_to_the_same_side(folder):
    pairs = PairFolder(folder, 40)
    pairs.sources[7] = torch.arange(40, dtype=torch.uint8).expand(3, 40, 40) * 6
    source, _ = pairs.batch([7], boxes=np.array([[10, 10, 20]]), side=40)
    wanted = np.linspace(10 - 0.25, 29 + 0.25, 40) * 6
    assert np.abs(source[0, 0, 20].numpy() - wanted)[2:-2].max() < 2


def test_squares_outside_the_picture_are_refused(folder):
    pairs = PairFolder(folder, 24)
    for box in ([0, 1, 24], [-1, 0, 8], [0, 17, 8], [0, 0, 0]):
        with pytest.raises(ValueError, match="must lie in images of 24"):
            pairs.batch([0], boxes=np.array([box]), side=8)
    with pytest.raises(ValueError, match="flips must be bool"):
        pairs.batch([0], flips=np.array([1]))
