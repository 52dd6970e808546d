"""The card of the upscaler, and the notice of those who trained it."""

from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from genmodels.metrics.registry import METRICS, columns
from genmodels.pipelines.pipeline_upscaler import UpscalerPipeline

TITLES = columns("psnr", "ssim", "chroma_error", "swd", "open_nsfw_kid")
NOTICE = """Copyright (c) 2021, Xintao Wang (Real-ESRGAN)
Copyright (c) 2023, 喵小吉 (the package that carries the weights)
All rights reserved.

Redistribution and use in source and binary forms, with or without modification, are permitted
provided that the following conditions are met:

1. Redistributions of source code must retain the above copyright notice, this list of conditions
   and the following disclaimer.

2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions
   and the following disclaimer in the documentation and/or other materials provided with the
   distribution.

3. Neither the name of the copyright holder nor the names of its contributors may be used to endorse
   or promote products derived from this software without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR
IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR
CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE,
DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER
IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF
THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE."""


def card(facts: dict[str, Any]) -> str:
    """README.md of the repo, from the facts in run.json."""
    source, side = facts["source"], facts["resolution"]
    sets = facts["metrics_by_set"]
    rows = "\n".join(
        f"| {name} ({panel['n']}) | {' | '.join(_cell(panel.get(key)) for key in TITLES)} |"
        for name, panel in sets.items()
    )
    first = next(iter(sets))
    return f"""---
{_metadata(facts).to_yaml()}
---

# {facts["name"]}

{facts["summary"]}

![held-out photographs, enlarged](samples.png)

Photographs of {first}, made small ({side // 4} px) and enlarged to {side}: by a bicubic filter, by
this network, and the photographs themselves.

```python
import genmodels
from genmodels import images

upscaler = genmodels.load("{facts["name"]}")
upscaler(images.open_rgb("photo.png")).images[0]  # Four times the size; factor=2 or 3: less.

pipe = genmodels.load("cars-stylegan2-64")
pipe.enlarge(pipe(seed=7)).images[0]  # The recipe says both steps.
```

**It invents detail.** What is in the large picture and not in the small one is likely, not known:
do not read number plates, faces or text from it. Figures on the cards of other models are of
pictures as drawn, before enlarging.

## Figures

Photographs made small, {side // 4} px, and enlarged to {side}, against the photographs (cars: those
held out from our own training); in brackets the bicubic filter. Lower is better unless it says
otherwise. By squared error (PSNR) an average
of all that might be right is hard to beat, and the filter is close to one. Sharpness shows in the
texture. Colours move, and the judge finds the filter's blur nearer to photographs than this paint:
it is for what is looked at, not for what is measured.

| photographs | {" | ".join(TITLES.values())} |
| --- |{" --- |" * len(TITLES)}
{rows}

## Worst samples

The photographs of {first} with the largest squared error: bicubic filter, network, photograph.

![worst samples](worst.png)

## Data and licence

- The compact network of Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833), `realesr-animevideov3`:
  {facts["parameters"]:,} parameters. Trained by its authors for drawn films; on which pictures, and
  how many, they do not say. Here it is rewritten from its description; its weights are those in
  `{source["package"]}` (`{source["file"]}`, sha256 `{source["sha256"][:16]}`), number for number.
- The metadata of its pictures marks them as partly synthetic and holds a recipe.
- The weights are under the BSD licence of three clauses:

```
{NOTICE}
```
"""


def _metadata(facts: dict[str, Any]) -> ModelCardData:
    """What the Hub reads, every figure included."""
    results = [
        EvalResult(
            task_type="image-to-image",
            dataset_type="imagefolder",
            dataset_name=name,
            metric_type=key,
            metric_name=METRICS[key].heading,
            metric_value=panel[key]["value"],
        )
        for name, panel in facts["metrics_by_set"].items()
        for key in TITLES
        if panel.get(key, {}).get("value") is not None
    ]
    return ModelCardData(
        library_name="genmodels",
        license="bsd-3-clause",
        tags=["image-to-image", *UpscalerPipeline.tags],
        pipeline_tag="image-to-image",
        model_name=facts["name"],
        eval_results=results or None,
    )


def _cell(figure: dict[str, Any] | None) -> str:
    """A figure and its baseline's."""
    if figure is None or figure["value"] is None:
        return "none"
    return f"{figure['value']:.3g} ({figure['baseline']:.3g})"
