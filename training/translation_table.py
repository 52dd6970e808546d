"""The comparison of translating networks as a section in Markdown."""

from typing import Any

COLUMNS = {
    "mse": "MSE",
    "psnr": "PSNR, dB (higher)",
    "psnr_of_mean": "PSNR of the mean MSE (higher)",
    "ssim": "SSIM (higher)",
    "chroma_error": "chroma error",
    "swd": "texture (SWD)",
    "psnr_seed": "*psnr_seed*",
    "ssim_seed": "*ssim_seed*",
}
PROJECT = {  # What the project printed: pix2pix and autoencoder, PSNR in dB.
    "coloring": (28.77, 21.05),
    "monet": (21.53, 20.72),
    "comic": (20.97, 19.70),
}


def table(record: dict[str, Any]) -> str:
    """What `compare_translation` found, in tables."""
    parts = [
        f"""## pix2pix against the autoencoder

Held-out pairs at {record["resolution"]} px that no network saw, split by source picture. Each run
saw {record["pairs_seen"]:,} pairs; starts of the training: {len(record["seeds"])}. 95 % intervals
are over pictures. Lower is better unless it says otherwise. *psnr_seed* and *ssim_seed* are the
translation project's own formulas, for its own table's sake: the first is 6.02 dB lower than
the true one, the second cannot see structure (pictures of shuffled pixels score 1)."""
    ]
    parts += [_task(name, task) for name, task in record["tasks"].items()]
    return "\n\n".join(parts) + "\n"


def _task(name: str, task: dict[str, Any]) -> str:
    head = " | ".join(COLUMNS.values())
    rows = [
        f"| {arm['title']} | {' | '.join(_cell(arm[key]) for key in COLUMNS)} |"
        for arm in task["arms"].values()
    ]
    body = "\n".join(rows)
    ahead = "\n".join(_margin(task, name, key) for key in task["margins"])
    return f"""### {task["title"]}, {task["held_out"]} held-out pairs

| network | {head} |
| --- |{" --- |" * len(COLUMNS)}
{body}

{ahead}""".rstrip()


def _margin(task: dict[str, Any], name: str, key: str) -> str:
    one, other = key.split(" - ")
    psnr, ssim = (task["margins"][key][figure] for figure in ("psnr", "ssim"))
    theirs = ""
    if name in PROJECT:
        pix2pix, autoencoder = PROJECT[name]
        theirs = (
            f"; the project printed {pix2pix} and {autoencoder} dB by its own formula, "
            f"{pix2pix - autoencoder:+.1f} dB, with no held-out pictures"
        )
    return (
        f"- {task['arms'][one]['title']} minus {task['arms'][other]['title']}: PSNR "
        f"{psnr['value']:+.2f} dB ({psnr['low']:+.2f} to {psnr['high']:+.2f}), SSIM "
        f"{ssim['value']:+.3f} ({ssim['low']:+.3f} to {ssim['high']:+.3f}){theirs}."
    )


def _cell(figure: dict[str, float]) -> str:
    if "low" not in figure:
        return f"{figure['value']:.4g}"
    return f"{figure['value']:.4g} ({figure['low']:.4g} to {figure['high']:.4g})"
