"""The critic on pretrained features: what it looks through, how it learns, when it rests."""

import pytest
import torch
from torch import nn

from tests.support import tiny_training
from training import train_stylegan2
from training.critics.discriminators import ProjectedCritic, hinge_d, hinge_g
from training.critics.projected_features import MIXED_CHANNELS, Balance, Heads, Projection

BOTH = tiny_training.STYLEGAN2 | {
    "critic": "both",
    "heads_conditions": True,
    "heads_warmup_images": 8,
    "heads_min_coverage": 0.1,
    "feature_resolution": 64,
    "snapshot_images": 16,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    return {
        "data": str(tiny_training.photographs(root / "train", 40)),
        "held_out": str(tiny_training.photographs(root / "held_out", 16, seed=1)),
    }


@pytest.fixture(autouse=True, scope="module")
def quick_on_the_cpu():
    with tiny_training.quick_on_the_cpu():
        yield


@pytest.fixture(scope="module")
def projection():
    return Projection(64, seed=0)


def train(photos, out, **changes):
    train_stylegan2.train(train_stylegan2.Config(out=out, **(photos | BOTH | changes)))
    return tiny_training.state(out)


@pytest.fixture(scope="module")
def four_steps(photos, tmp_path_factory, quick_on_the_cpu):
    out = tmp_path_factory.mktemp("runs") / "both"
    return out, train(photos, out, steps=4, keep_checkpoints=4)


@pytest.fixture
def learner(projection):
    torch.manual_seed(0)
    heads = Heads()
    optimizer = torch.optim.Adam(heads.parameters(), 2e-3, betas=(0.0, 0.99))
    return ProjectedCritic(
        projection,
        heads,
        optimizer,
        rest_below=1.0,
        min_coverage=0.7,
        from_images=1500,
        slope_ratio=3.0,
        warmup_images=1000,
    )


def stripes(count, *, upright):
    """Grey pictures of waves in one direction, of random phase: [N, 3, 32, 32]."""
    place = torch.arange(32.0)
    phase = torch.rand(count, 1) * 6.28
    waves = torch.sin(place / 2 + phase)[:, None, None]  # [N, 1, 1, 32]
    waves = waves.expand(-1, 3, 32, -1)
    return 0.7 * (waves if upright else waves.transpose(2, 3)).contiguous()


@torch.no_grad()
def test_the_mixing_is_a_function_of_its_seed_alone(projection):
    images = stripes(2, upright=True)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again, other = Projection(64, seed=0), Projection(64, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    for one, same, unlike in zip(projection(images), again(images), other(images), strict=True):
        assert torch.equal(one, same)
        assert not torch.allclose(one, unlike, atol=0.1 * float(one.std()))


def test_every_map_but_the_coarsest_depends_on_the_coarser_ones(projection):
    maps = [torch.randn(1, c, s, s) for c, s in ((24, 16), (40, 8), (112, 4), (320, 2))]

    class Given(nn.Module):
        def features(self, images):
            return maps

    replaced = Projection(64, seed=0)
    replaced.network = Given()
    images = torch.zeros(1, 3, 32, 32)
    before = replaced(images)
    maps[3] = maps[3] + 1
    after = replaced(images)
    assert all(not torch.allclose(a, b) for a, b in zip(before, after, strict=True))
    maps[0] = maps[0] + 1
    finest = replaced(images)
    changed = [not torch.equal(a, b) for a, b in zip(after, finest, strict=True)]
    assert changed == [True, False, False, False]


def test_it_learns_to_tell_upright_waves_from_lying_ones_in_60_steps(learner):
    learner.rest_below, c = 0.0, torch.zeros(8, 0)

    def loss():
        return learner.d_loss(stripes(8, upright=True), stripes(8, upright=False), c, 1.0)[0]

    with torch.no_grad():
        before = float(loss())
    for _ in range(60):
        learner.optimizer.zero_grad()
        loss().backward()
        learner.step()
    assert before > 1.7
    assert float(learner.balance.loss_mean) < 1.2
    with torch.no_grad():
        assert float(loss()) < 0.8
        # What it has learnt it tells a generator: nearer to upright is better.
        good, bad = (learner.g_loss(stripes(8, upright=u), c, 1.0) for u in (True, False))
        assert good < bad - 1


def test_heads_rest_while_their_loss_is_below_the_bound(learner):
    def learns(loss_mean):
        learner.optimizer.zero_grad()
        learner.d_loss(stripes(4, upright=True), stripes(4, upright=False), torch.zeros(4, 0), 1.0)[
            0
        ].backward()
        learner.balance.loss_mean.fill_(loss_mean)
        learner.balance.batch.zero_()
        before = [p.detach().clone() for p in learner.network.parameters()]
        learner.step()
        after = learner.network.parameters()
        return any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))

    assert not learns(0.99)
    assert learns(1.01)


def test_heads_take_part_only_while_the_data_is_covered(learner):
    assert not learner.is_active
    assert learner.watch(0.69, 2000) is None
    assert learner.watch(0.9, 1000) is None
    assert learner.watch(0.7, 2000) == "the heads take part: coverage is 0.70"
    learner.balance.slope_ratio.fill_(7.0)
    assert learner.watch(0.75, 3000) is None
    learner.balance.loss_mean.fill_(0.05)
    assert learner.watch(0.75, 4000) is None
    assert [alarm.kind for alarm in learner.alarms()] == ["saturated_heads"]
    assert learner.watch(0.4, 5000) == "the heads pause: coverage is 0.40"
    assert not learner.is_active
    learner.watch(0.8, 6000)
    assert (float(learner.balance.loss_mean), float(learner.balance.slope_ratio)) == (2.0, 0.0)


def test_the_heads_slope_is_a_fixed_multiple_of_the_own_ones(learner):
    learner.watch(0.9, 2000)
    own, seen = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    own[0], seen[1] = 0.1, 50.0
    for images_seen, wanted in ((2000, 0.0), (2500, 1.5), (3000, 3.0), (9000, 3.0)):
        slope = learner.joined(own, seen, images_seen)
        torch.testing.assert_close(slope[0], own[0])
        assert float(slope[1].norm() / slope[0].norm()) == pytest.approx(wanted, rel=1e-4)
        learner.balance.follow()
    # One step that is ten times as steep moves the mean by little, and so pulls hard.
    assert float(learner.joined(own, 10 * seen, 9000)[1].norm() / own.norm()) > 20
    for _ in range(400):
        slope = learner.joined(own, 10 * seen, 9000)
        learner.balance.follow()
    assert float(slope[1].norm() / own.norm()) == pytest.approx(3.0, rel=0.01)


def test_the_running_means_follow_alike_however_a_batch_is_split():
    whole, parts = Balance(), Balance()
    for value in (1.0, 0.5, 3.0):
        whole.add(loss_mean=torch.tensor(value), slope_ratio=torch.tensor(2 * value))
        for part in (value - 0.25, value + 0.25):
            parts.add(loss_mean=torch.tensor(part), slope_ratio=torch.tensor(2 * part))
        whole.follow()
        parts.follow()
    for name in ("loss_mean", "slope_ratio", "batch"):
        torch.testing.assert_close(whole.get_buffer(name), parts.get_buffer(name))
    assert 1.9 < float(whole.loss_mean) < 2.0
    assert 2.0 < float(whole.slope_ratio) < 2.2


def test_a_head_that_sees_conditions_answers_for_the_one_asked():
    torch.manual_seed(0)
    heads = Heads(c_dim=2)
    maps = [torch.randn(4, c, s, s) for c, s in zip(MIXED_CHANNELS, (8, 4, 2, 2), strict=True)]
    c = torch.eye(2).repeat(2, 1)
    asked, other = heads(maps, c, 1.0), heads(maps, c.flip(1), 1.0)
    assert all(not torch.allclose(a, b) for a, b in zip(asked, other, strict=True))
    faded, plain = heads(maps, c, 0.0), Heads(c_dim=0)
    plain.load_state_dict({k: v for k, v in heads.state_dict().items() if "embed" not in k})
    for a, b in zip(faded, plain(maps, c, 1.0), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_the_hinge_losses_are_means_over_heads_of_any_size():
    real, fake = (
        [torch.tensor([[3.0]]), torch.zeros(1, 4)],
        [torch.tensor([[-3.0]]), torch.zeros(1, 4)],
    )
    assert float(hinge_d(real, fake)) == pytest.approx((0 + 2) / 2)
    assert float(hinge_g(fake)) == pytest.approx(1.5)


def test_too_small_a_view_is_refused():
    with pytest.raises(ValueError, match="feature_resolution must be 64 or more, got 32"):
        Projection(32)


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_two_steps_and_two_more_equal_four_with_both_critics(photos, four_steps, tmp_path):
    train(photos, tmp_path, steps=2)
    assert_equal(train(photos, tmp_path, steps=4), four_steps[1])


def test_heads_learn_only_once_the_data_is_covered(photos, four_steps, tmp_path):
    # The third step is the first after a snapshot, and any coverage is enough for these settings.
    state = tiny_training.load_file(
        four_steps[0] / "checkpoints" / "step_00000002" / "state.safetensors"
    )
    assert int(state["heads.balance.active_from"]) == 16
    assert not [key for key in state if key.startswith("opt_heads.")]
    assert [key for key in four_steps[1] if key.startswith("opt_heads.")]
    never = train(photos, tmp_path, steps=4, heads_min_coverage=1.1)
    assert int(never["heads.balance.active_from"]) == -1
    assert not [key for key in never if key.startswith("opt_heads.")]


def test_both_critics_lead_to_other_pictures_than_one(photos, four_steps, tmp_path):
    alone = train(photos, tmp_path / "own", steps=4, critic="own")
    assert {key.split(".")[0] for key in four_steps[1]} - {key.split(".")[0] for key in alone} == {
        "heads",
        "opt_heads",
    }
    both = four_steps[1]
    assert not torch.equal(both["G.const"], alone["G.const"])
    line = tiny_training.log(four_steps[0])[-1]
    assert {"loss_D", "loss_G", "loss_heads", "loss_G_heads", "r_t"} <= set(line)


def test_the_projected_critic_alone_publishes_no_discriminator(photos, tmp_path):
    state = train(photos, tmp_path, steps=2, critic="projected", snapshot_images=8)
    assert not [key for key in state if key.startswith("opt_D.")]
    assert [key for key in state if key.startswith("opt_heads.")]
    assert not (tmp_path / "model" / "discriminator").exists()
    assert (tmp_path / "model" / "generator").is_dir()
    assert not (tmp_path / "best" / "discriminator").exists()
