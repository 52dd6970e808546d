"""How far a set of images will probably take which kind of model.

A rule of thumb, and no measurement: nothing is trained. It rests on the number of different
photographs and on the spread of their features. The steps follow what is published of few images
(Zhao et al. 2020, arXiv:2006.10738, table 1 to 4; Karras et al. 2020, arXiv:2006.06676): FID falls
by about half for each step, and free scenes need several times the images of aligned faces.
"""

from genmodels.doctor.report import Expectation

BASIS = (
    "A rule of thumb from the number of different photographs and from how much their features "
    "differ, after published results on few images. Nothing was trained to find it."
)
ALIGNED, FREE = 0.35, 0.55  # Spread up to which a set is of one pose, and from which it is free.
STEPS = (50, 300, 1_500, 6_000)  # Images of one pose, at which the next band begins.
FACTORS = {"aligned": 2.0, "usual": 1.0, "free": 0.5}  # What an image counts for.

_GAN = (
    ("copies", "learns the images by heart"),
    ("sketches", "colours and rough shapes; few pictures pass, and copies are likely"),
    ("mixed", "some good pictures among many flawed ones; choose by eye, use truncation"),
    ("recognisable", "most pictures are of the subject, small parts often wrong"),
    ("good", "most pictures pass at a glance at 64 to 128 px"),
)
_TUNED = (
    ("copies", "some variations of the parent's pictures in the new look, many copies"),
    ("mixed", "good pictures where the parent's subject is like this one"),
    ("recognisable", "most pictures are of the subject; start from the nearest parent"),
    ("good", "somewhat ahead of training from scratch, and much faster"),
    ("good", "as from scratch, and faster"),
)
_NVAE = (
    ("copies", "learns the images by heart; new pictures are blurs"),
    ("sketches", "blurred averages of the subject"),
    ("soft", "soft pictures; the subject must be aligned"),
    ("soft", "soft pictures that cover the whole set; labels can be changed"),
    ("recognisable", "soft but varied pictures, and photographs can be edited by label"),
)
_PAIRED = (
    ("copies", "learns the pairs by heart; new photos come out wrong"),
    ("mixed", "works on photos much like those of the pairs"),
    ("good", "works on new photos of the same kind"),
    ("good", "works on new photos, unusual ones too"),
    ("good", "more pairs would change little"),
)
_PAIR_STEPS = (20, 100, 400, 3_000)


def expectations(effective: int, spread: float, *, pairs: bool) -> list[Expectation]:
    """What to expect of each kind of model from so many different photographs."""
    if pairs:
        return [_expectation("pix2pix", _PAIRED, _step(effective, _PAIR_STEPS))]
    kind = "aligned" if spread < ALIGNED else "free" if spread > FREE else "usual"
    step = _step(effective * FACTORS[kind] / FACTORS["aligned"], STEPS)
    return [
        _expectation("StyleGAN2 or DCGAN, from scratch", _GAN, step),
        _expectation("StyleGAN2, from a trained model (--init-from)", _TUNED, step),
        _expectation("NVAE", _NVAE, step if kind == "aligned" else max(0, step - 1)),
        Expectation("SinGAN or patches, from one photo", "good", "needs one photo, not a set"),
    ]


def _step(count: float, steps: tuple[int, ...]) -> int:
    return sum(count >= step for step in steps)


def _expectation(model: str, bands: tuple[tuple[str, str], ...], step: int) -> Expectation:
    return Expectation(model, *bands[step])
