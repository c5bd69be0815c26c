"""The text of a model card: what the model is, for which images, how it is used, how good it is, where it ends."""

from __future__ import annotations

from unetkit.models.spec import ModelSpec
from unetkit.sharing.graphs import takes_raw
from unetkit.sharing.said import SaidOptions
from unetkit.sharing.usage import formula, outputs


def card_body(
    spec: ModelSpec,
    name: str,
    said: SaidOptions,
    scores: dict[str, float],
    notes: str,
    added_stages: list[str] | None,
) -> str:
    """Return the text of a card, in Markdown.

    Args:
        spec: The model.
        name: Its name on the Hub.
        said: What its user says of it.
        scores: Scores on the validation images, by their names for people.
        notes: What else is written of it; "" for nothing.
        added_stages: See `write_card`.
    """
    parts = [
        f"# {name}",
        said.about or _what(spec),
        *([_what(spec)] if said.about else []),
        "## Images",
        _images(spec),
        "## Use",
        _use(spec, name),
        *(
            ["## Use with segmentation-models-pytorch", _smp_use(spec, name, added_stages)]
            if added_stages is not None
            else []
        ),
        "## Training",
        _training(spec, said),
        "## Validation",
        _validation(spec, scores),
        "## Limits",
        _limits(spec),
        *(["## More on this model", notes.replace("\n## ", "\n### ")] if notes else []),
        "## Licence and citation",
        _licence(said),
    ]
    return "\n\n".join(parts) + "\n"


def _what(spec: ModelSpec) -> str:
    network = "plain U-Net (Ronneberger et al. 2015)"
    if spec.arch == "unet":
        network = f"U-Net of depth {spec.depth} on the encoder {spec.encoder}"
    if spec.task == "classification":
        return f"Classifies whole images ({', '.join(spec.image_classes)}), with the encoder {spec.encoder}."
    if spec.task == "reconstruction":
        return f"A {network} that restores images: a start for training on masks, which it does not make itself."
    seen = "volumes" if spec.dims == 3 else "images" if spec.planes == 1 else f"{spec.planes} neighbouring planes"
    names = f" ({', '.join(spec.class_names)})" if spec.class_names else ""
    found = "foreground and background" if spec.classes == 2 else f"{spec.classes} classes, the background included"
    apart = ", and tells touching objects apart" if spec.instances else ""
    whole = f" It also classifies whole images: {', '.join(spec.image_classes)}." if spec.image_classes else ""
    return f"A {network} for {seen}: it finds {found}{names}{apart}.{whole}"


def _images(spec: ModelSpec) -> str:
    names = f" ({', '.join(spec.channel_names)})" if spec.channel_names else ""
    size = "not stated by the training images"
    if spec.pixel_size_um is not None:
        size = " x ".join(f"{side:g}" for side in spec.pixel_size_um) + " µm"
    rows = [("channels", f"{spec.in_channels}{names}"), ("pixel size", size)]
    if (seen := spec.training_images) is not None:
        ends = ", ".join(f"{low:g} to {high:g}" for low, high in zip(seen.low, seen.high, strict=True))
        rows += [("type of pixels in training", ", ".join(seen.dtypes)), ("their values, by channel", ends)]
    rows.append(("normalisation, done by unetkit itself", f"`{normalisation(spec)}`"))
    return _table(("", ""), rows)


def normalisation(spec: ModelSpec) -> str:
    """Return how raw pixels become the input of a model's network: the formula, with numbers where they are stored."""
    how = spec.normalization
    if not takes_raw(spec):
        return formula(spec)
    if how.window is not None:
        low, high = how.window
        return f"(pixels - {low:g}) / {high - low:g}, then clipped to 0 and 1"
    center, scale = how.center or (), how.scale or ()
    each = [f"(pixels - {one:.9g}) / {by:.9g}" for one, by in zip(center, scale, strict=True)]
    text = each[0] if len(set(each)) == 1 else "; ".join(f"channel {i}: {one}" for i, one in enumerate(each))
    if how.clip is not None:
        ends = "; ".join(f"{low:.9g} to {high:.9g}" for low, high in how.clip)
        text += f"; pixels are first clipped to {ends}"
    return text


def _use(spec: ModelSpec, name: str) -> str:
    shown = {"segmentation": "labels" if spec.instances else "mask", "classification": "classes"}.get(spec.task)
    address = f"hf:OWNER/{name}"
    if shown is None:
        return f"```bash\npip install unetkit\nunetkit fit --data.train FOLDER --model.weights {address}\n```"
    ending = "csv" if shown == "classes" else "tif"
    return (
        f"```bash\npip install unetkit\nunetkit segment image.tif {shown}.{ending} --model {address} --output {shown}\n"
        f'```\n\n```python\nimport unetkit\n\nunetkit.segment("image.tif", "{shown}.{ending}", model="{address}", '
        f'output="{shown}")\n```\n\nImages of any size are computed in tiles, which leave no seams.'
    )


def _smp_use(spec: ModelSpec, name: str, added_stages: list[str] | None) -> str:
    function = "torch.sigmoid(logits)" if spec.classes == 2 else "logits.softmax(1)"
    if spec.task == "reconstruction":
        function = "logits"
    lines = [
        "```python",
        "import segmentation_models_pytorch as smp",
        "import torch",
        "",
        f'network = smp.from_pretrained("OWNER/{name}").eval()',
        f"logits = network(normalised)  # float32 (batch, {spec.network_inputs}, height, width)",
        f"result = {function}  # {outputs(spec)}",
        "```",
        "",
        f"Sizes are multiples of {spec.stride}. smp does not normalise pixels. `normalised` is",
        "",
        f"    {normalisation(spec)}",
    ]
    if spec.planes > 1:
        lines += ["", f"The channels are those of {spec.planes} neighbouring planes, one after the other."]
    if added_stages:
        lines += [
            "",
            f"smp's loader wants weights for {', '.join(added_stages)}, which a network of depth {spec.depth} never "
            "uses. They are random, and change no result.",
        ]
    return "\n".join(lines)


def _training(spec: ModelSpec, said: SaidOptions) -> str:
    noted, data = spec.training, spec.training.get("data", {})
    rows = [("data", said.training_data or data.get("train"))]
    rows += [("images to train on", data.get("train_images")), ("images to validate on", _count(data))]
    rows += [("epochs", noted.get("epochs")), ("epoch of these weights", noted.get("epoch"))]
    rows += [("steps", noted.get("steps")), ("crop", data.get("crop")), ("batch size", data.get("batch_size"))]
    rows += [("augmentation", data.get("augment"))]
    start = noted.get("start")
    if isinstance(start, dict):
        rows.append(("first weights", "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in start.items())))
    rows.append(("written by", f"unetkit {spec.unetkit_version}" if spec.unetkit_version else None))
    known = [(key, str(value)) for key, value in rows if value not in (None, "")]
    return _table(("", ""), known) if known else "The model file does not say how it was trained."


def _count(data: dict[str, object]) -> int | None:
    names = data.get("val_images")
    return len(names) if isinstance(names, list | tuple) else None


def _validation(spec: ModelSpec, scores: dict[str, float]) -> str:
    if not scores:
        return "The model file states no scores. Measure it on your own images: `unetkit evaluate`."
    count = _count(spec.training.get("data", {}))
    images = "the validation images" if count is None else f"{count} validation images"
    rows = [(name, f"{value:.3f}") for name, value in scores.items()]
    return (
        f"On {images} held out of this training:\n\n{_table(('score', 'value'), rows)}\n\n"
        "They chose the epoch, so the scores are a little too good. Measure it on images of your own."
    )


def _limits(spec: ModelSpec) -> str:
    lines = [
        "- It knows what its training images showed. Look at its results on another stain, microscope or scale.",
        "- It is for research, and no medical device.",
    ]
    if spec.task == "segmentation":
        error = "" if spec.halo_error is None else f", which changes {1e4 * spec.halo_error:.2g} of 10,000 mask pixels"
        lines.insert(1, f"- Tiles need a halo of {_sides(spec.halo)} pixels{error}.")
    return "\n".join(lines)


def _licence(said: SaidOptions) -> str:
    lines = [f"Licence of the weights: {said.license or 'not stated. Ask their authors'}."]
    if said.authors:
        lines.append(f"Authors: {'; '.join(said.authors)}.")
    lines += ["Please cite:", "\n".join(f"- {text}" for text in [*(said.cite or []), *CITED])]
    return "\n\n".join(lines)


CITED = (
    "unetkit: U-Net segmentation of biomedical images of any size",
    "Ronneberger, Fischer, Brox 2015: U-Net, https://arxiv.org/abs/1505.04597",
)
"""What every model rests on."""


def _sides(halo: int | tuple[int, ...]) -> str:
    return str(halo) if isinstance(halo, int) else " x ".join(map(str, halo))


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [head, ("---", "---"), *((key, value.replace("|", "\\|")) for key, value in rows)]
    return "\n".join(f"| {key} | {value} |" for key, value in lines)
