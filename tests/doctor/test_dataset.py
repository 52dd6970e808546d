"""The dataset doctor on toys: each fault is seen, and a good set is left alone."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageFilter

from genmodels.data.file_list import read_files, write_files
from genmodels.data.image_folder import ImageFolder
from genmodels.data.paired_folder import PairFolder
from genmodels.doctor import __main__ as command
from genmodels.doctor import checks, clusters, measures
from genmodels.doctor.dataset import check
from genmodels.doctor.expectations import expectations
from genmodels.doctor.registration import register


def picture(seed, side=64):
    """Shapes and grain that no other seed has: as sharp as a photograph."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((side, side, 3))
    for scale in (4, 8, 16, 32, 64):
        noise = rng.uniform(-1, 1, (scale, scale, 3)).astype(np.float32)
        layers = [Image.fromarray(noise[..., c]).resize((side, side), 0) for c in range(3)]
        pixels += np.stack([np.asarray(layer) for layer in layers], axis=2)
    return Image.fromarray((128 + 40 * pixels).clip(0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "photos"
    place.mkdir()
    for seed in range(6):
        picture(seed).save(place / f"{seed}.png")
    return place


def test_faults_are_seen_and_left_out_of_the_clean_list(folder):
    first = Image.open(folder / "0.png")
    first.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "copy.png")
    Image.open(folder / "1.png").point(lambda level: 0.8 * level).save(folder / "near.jpg")
    picture(20, 128).filter(ImageFilter.GaussianBlur(5)).save(folder / "soft.png")
    Image.new("RGB", (64, 64), (4, 4, 4)).save(folder / "black.png")
    Image.new("RGB", (64, 64), (250, 250, 250)).save(folder / "white.png")
    boxed = Image.new("RGB", (64, 64))
    boxed.paste(picture(21).crop((0, 0, 64, 44)), (0, 10))
    boxed.save(folder / "boxed.png")
    picture(22).convert("L").save(folder / "grey.png")
    picture(23).resize((160, 64)).save(folder / "long.png")
    picture(24, 32).save(folder / "small.png")
    see_through = picture(25).convert("RGBA")
    see_through.putalpha(Image.linear_gradient("L").resize((64, 64)))
    see_through.save(folder / "through.png")
    (folder / "text.jpg").write_text("not a picture")
    (folder / "notes.doc").write_text("no image at all")
    report = check(folder, resolution=64)
    images = {name: issue.images for name, issue in report.issues.items()}
    assert images["exact_duplicates"] == ["0.png", "copy.png"]
    assert sorted(images["near_duplicates"]) == ["1.png", "near.jpg"]
    assert "soft.png" in images["blurry"]
    assert images["dark"] == ["black.png"]
    assert images["light"] == ["white.png"]
    assert images["low_information"] == ["black.png", "white.png"]
    assert images["letterboxed"] == ["boxed.png"]
    assert "grey.png" in images["grayscale"]
    assert images["odd_aspect_ratio"] == ["long.png"]
    assert images["odd_size"] == ["small.png"]
    assert images["transparent"] == ["through.png"]
    assert images["unreadable"] == ["text.jpg"]
    assert images["other_files"] == ["notes.doc"]
    assert report.verdict == "stop"  # Too few.
    assert [name for name in report.clean if len(name) == 5] == [f"{n}.png" for n in range(6)]
    assert not {"copy.png", "near.jpg", "soft.png", "boxed.png"} & set(report.clean)
    assert report.num_images == 16
    assert json.loads(json.dumps(report.as_dict()))["effective_images"] == 14


def test_a_good_set_has_no_fault_but_its_size(folder):
    report = check(folder)
    assert report.resolution == 64
    assert {issue.name for issue in report.found} == {"too_few_images"}
    assert report.clean == [f"{n}.png" for n in range(6)]
    assert report.effective_images == 6
    assert "6 different photographs" in report.reasons[0]
    assert "| Blurred (`blurry`) | ok | 0 | None. |" in report.markdown()


def test_held_out_images_that_are_trained_on_are_told(folder, tmp_path):
    held_out = tmp_path / "held_out"
    held_out.mkdir()
    picture(9).save(held_out / "new.png")
    picture(2).save(held_out / "known.jpg", quality=70)
    issue = check(folder, held_out).issues["train_test_overlap"]
    assert issue.level == "stop"
    assert issue.left_out == ["2.png"]
    assert issue.groups == [["2.png", "known.jpg"]]
    inside = tmp_path / "both"
    (inside / "train").mkdir(parents=True)
    (inside / "test").mkdir()
    picture(2).save(inside / "train" / "a.png")
    picture(2).save(inside / "test" / "b.png")
    assert check(inside).issues["train_test_overlap"].groups == [["a.png", "test/b.png"]]


def test_pairs_that_lie_beside_each_other_are_told(tmp_path):
    for side in ("source", "target"):
        (tmp_path / side).mkdir()
    for seed in range(4):
        whole = picture(seed, 128)
        whole.save(tmp_path / "source" / f"{seed}.png")
        moved = whole.transform(
            whole.size, Image.Transform.AFFINE, (1, 0, 8 * (seed == 2), 0, 1, 0)
        )
        moved.save(tmp_path / "target" / f"{seed}.jpg", quality=95)
    report = check(tmp_path)
    assert report.issues["misregistered_pairs"].images == ["target/2.jpg"]
    assert report.clean == ["0.jpg", "1.jpg", "3.jpg"]
    assert [each.model for each in report.expected] == ["pix2pix"]
    pairs = PairFolder(tmp_path, 32, files=report.clean)
    assert pairs.names == ["0", "1", "3"]
    assert ("2", "not in the list of files") in pairs.skipped
    picture(7).save(tmp_path / "source" / "alone.png")
    assert check(tmp_path).issues["unpaired"].images == ["source/alone.png"]


def test_a_list_of_files_chooses_what_is_trained_on_and_is_in_the_fingerprint(folder, tmp_path):
    write_files(["1.png", "4.png"], tmp_path / "clean.txt")
    files = read_files(tmp_path / "clean.txt")
    chosen, whole = ImageFolder(folder, 32, files=files), ImageFolder(folder, 32)
    assert chosen.names == ["1.png", "4.png"]
    assert ("0.png", "not in the list of files") in chosen.skipped
    assert chosen.fingerprint != whole.fingerprint
    (tmp_path / "again.txt").write_bytes(b"\xef\xbb\xbf4.png\r\n\r\n1.png\r\n")
    again = ImageFolder(folder, 32, files=read_files(tmp_path / "again.txt"))
    assert again.fingerprint == chosen.fingerprint


def test_a_list_that_does_not_fit_its_folder_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"names 1 that .* does not hold, such as 'x.png'"):
        ImageFolder(folder, 32, files={"x.png", "1.png"})
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(ValueError, match="must hold names of files"):
        read_files(tmp_path / "empty.txt")
    with pytest.raises(ValueError, match="there is none called"):
        read_files(tmp_path / "nowhere.txt")
    with pytest.raises(ValueError, match="a name must be one line"):
        write_files(["a\nb.png"], tmp_path / "clean.txt")


def test_the_command_prints_the_report_and_writes_the_list(folder, tmp_path, capsys):
    clean, report = tmp_path / "clean.txt", tmp_path / "report.json"
    assert command.main([str(folder), "--clean", str(clean), "--json", str(report)]) == 2
    printed = capsys.readouterr().out
    assert printed.startswith("STOP: ")
    assert "near_duplicates" in printed
    assert read_files(clean) == {f"{n}.png" for n in range(6)}
    assert json.loads(report.read_text())["verdict"] == "stop"
    assert command.main([str(tmp_path / "nowhere")]) == 2
    assert "error: the images must lie in a folder" in capsys.readouterr().err


def test_an_empty_folder_is_a_stop_and_no_crash(tmp_path):
    report = check(tmp_path)
    assert report.verdict == "stop"
    assert report.clean == []


def test_what_most_images_have_is_the_nature_of_the_set():
    assert checks.level_of(0) == "ok"
    assert [checks.level_of(share) for share in (0.01, 0.2, 0.6)] == ["note", "caution", "stop"]


def test_two_kinds_of_pictures_are_told_apart_and_one_is_left_whole():
    rng = np.random.default_rng(0)
    clouds = rng.normal(size=(120, 32)).astype(np.float32) * 0.1
    clouds[:, 0] += 1
    unit = clouds / np.linalg.norm(clouds, axis=1, keepdims=True)
    assert clusters.cluster(unit).labels.max() == 0
    clouds[:30, 1] += 1.5
    unit = clouds / np.linalg.norm(clouds, axis=1, keepdims=True)
    found = clusters.cluster(unit)
    assert (found.labels[:30] == 1).all()
    assert (found.labels[30:] == 0).all()


def test_sharpness_hangs_on_blur_and_bars_on_straight_ends():
    whole = picture(3, 128)
    sharp, soft = (
        measures.sharpness(measures.to_grey(np.asarray(image)))
        for image in (whole, whole.filter(ImageFilter.GaussianBlur(2)))
    )
    assert soft < checks.BLURRY < sharp
    pixels = np.asarray(whole).copy()
    assert max(measures.bars(pixels)) == 0
    pixels[:16] = pixels[-8:] = 255
    assert measures.bars(pixels) == (0.125, 0.0625, 0, 0)


def test_a_shift_is_measured():
    grey = measures.to_grey(np.asarray(picture(4, 128)))
    found = register(grey, np.roll(grey, 5, axis=1))
    assert found.is_off
    assert found.shift == pytest.approx(5 / 128)
    assert not register(grey, grey).is_off


def test_more_photographs_and_less_spread_promise_more():
    bands = [expectations(n, 0.3, pairs=False)[0].band for n in (20, 200, 1_000, 5_000, 20_000)]
    assert bands == ["copies", "sketches", "mixed", "recognisable", "good"]
    assert expectations(1_000, 0.7, pairs=False)[0].band == "sketches"
    assert expectations(400, 0.7, pairs=True)[0].band == "good"


def test_a_damaged_file_is_skipped_with_the_loaders_reason(folder):
    content = io.BytesIO()
    picture(5).save(content, "PNG")
    (folder / "cut.png").write_bytes(content.getvalue()[:300])
    issue = check(folder).issues["unreadable"]
    assert issue.images == ["cut.png"]
    _, reasons = zip(*ImageFolder(folder, 32).skipped, strict=True)
    assert reasons[0] in issue.summary
