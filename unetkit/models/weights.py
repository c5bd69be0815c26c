"""Start a network from trained weights, as far as they fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from unetkit.foundation.errors import ModelError
from unetkit.models.adapting import Adapter
from unetkit.models.heads import Mixture, mix_outputs
from unetkit.models.parts import DECODER, count_from_output, last_step, part_of, unit_of
from unetkit.models.spec import ModelSpec
from unetkit.models.weight_names import own_name
from unetkit.models.weight_sources import Origin, open_start

HEAD = "segmentation_head"
"""Part of a network that makes its output from the decoder's features."""

IMAGE_HEAD = "image_head"
"""Part of a network that classifies whole images."""

SAME_PLANES = Adapter()
"""Between networks that see single planes."""

SMALLEST_FITTING_SHARE = 0.5
"""Smallest share of the encoder's weights that must fit. With fewer the file belongs to another encoder."""


@dataclass(frozen=True)
class LoadReport:
    """The result of loading a file of weights.

    Attributes:
        loaded: Names of the network's weights that were set.
        reshaped: Those of `loaded` that were adapted to other input channels, or to a kernel of other lengths.
        missing: Names of the network's weights that keep their random values.
        unused: Names in the file that were not used.
        notes: Sentences on weights that were reshaped or left out, and why.
        stand_in: Whether the distance map has the values of the mask until it is trained.
        origin: Where the weights come from, if that is known.
    """

    loaded: tuple[str, ...]
    reshaped: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...]
    stand_in: bool = False
    origin: Origin | None = None

    @property
    def predicts(self) -> bool:
        """Whether every output of the network comes from the weights, so that it can be scored before training."""
        heads = {part_of(key) for key in (*self.loaded, *self.missing)} & {HEAD, IMAGE_HEAD}
        return bool(heads) and not any(part_of(key) in heads for key in self.missing)

    def __str__(self) -> str:
        """Return one line for people."""
        total = len(self.loaded) + len(self.missing)
        origin = str(self.origin or "")
        return "; ".join([f"{len(self.loaded)} of {total} tensors loaded", *self.notes, *([origin] if origin else [])])


def load_weights(network: nn.Module, weights: str, spec: ModelSpec, *, decoder: bool = True) -> LoadReport:
    """Set the weights of `network`, of its encoder alone or of all of it.

    Args:
        network: From `build_network(spec)`; changed in place.
        weights: What they are called, see `open_start`.
        spec: The spec that `network` was built from.
        decoder: Whether the decoder's weights are taken too, where there are any.

    Raises:
        ModelError: The weights cannot be had or read, or none of them fits.
    """
    withheld = {} if decoder else {DECODER: "as asked"}
    start = open_start(weights, spec)
    source = start.source
    adapter = Adapter.between(source, spec)
    if source is None:
        report = fit_weights(network, start.state, weights, withheld, adapter=adapter)
        return replace(report, origin=start.origin)
    _check_same_network(source, spec, weights)
    if source.image_classes != spec.image_classes:
        withheld[IMAGE_HEAD] = "it is for other classes of images" if source.image_classes else "not among the weights"
    if source.task != spec.task:
        withheld[HEAD] = "it reconstructs images" if source.task == "reconstruction" else "it predicts masks"
    mixture = mix_outputs(source, spec) if source.task == spec.task == "segmentation" else None
    report = fit_weights(network, start.state, weights, withheld, mixture, least=0, adapter=adapter)
    return replace(report, origin=start.origin)


def _check_same_network(source: ModelSpec, spec: ModelSpec, weights: str) -> None:
    """Raise a ModelError if a model of unetkit is of another kind of network."""
    if source.dims > spec.dims:
        raise ModelError(
            f"The model in {weights} is of volumes, this one of planes.", "Set model.dims: 3, or give one of planes."
        )
    for name in ("arch", "encoder"):
        its, own = getattr(source, name), getattr(spec, name)
        if its != own:
            raise ModelError(
                f"The {name} in {weights} is {its}, not {own}.",
                f"Set model.{name}: {its}, or give weights of {own}.",
            )


def fit_weights(
    network: nn.Module,
    state: dict[str, Tensor],
    name: str,
    withheld: Mapping[str, str] | None = None,
    mixture: Mixture | None = None,
    least: float = SMALLEST_FITTING_SHARE,
    adapter: Adapter = SAME_PLANES,
) -> LoadReport:
    """Copy the weights in `state` that `network` has a place for.

    A first convolution for other channels is adapted, and so are kernels of other lengths, see `Adapter`. The steps of
    a decoder are counted from its output, where those of another depth agree; a step of other sizes is left out. So is
    the head if the last step is.

    Args:
        network: Changed in place.
        state: Weights by name; the common prefixes are understood.
        name: Where they come from, for messages.
        withheld: Parts of the network whose weights are not taken, each with the reason.
        mixture: How the outputs are made of those in `state`; by default they are the same.
        least: Share of the encoder's weights that must fit. A known encoder of another depth fits as far as it goes.
        adapter: How convolutions start from those of other planes or axes.

    Raises:
        ModelError: Fewer of the encoder's weights fit, or none.
    """
    own = network.state_dict()
    first = first_convolution(network)
    sources = count_from_output({own_name(key, own): key for key in state}, own)
    given = {key: state[source] for key, source in sources.items()}
    spread = [key for key, value in given.items() if key in own and _has_other_kernel(value, own[key])]
    notes = _explain_kernels([given[key] for key in spread], own[first].dim() - 2)
    given |= {key: adapter.adapt_kernel(given[key], own[key].shape[2:]) for key in spread}
    if (reshaped := _reshapes(given, own, first, adapter)) is not None:
        given[first] = adapter.adapt_channels(given[first], own[first].shape[1])
        notes.append(reshaped)
    if mixture is not None:
        given |= {key: mixture.apply(value) for key, value in given.items() if part_of(key) == HEAD}
    withheld = {**_find_misfits(own, given), **(withheld or {})}
    if last_step(own) in withheld or DECODER in withheld:
        withheld.setdefault(HEAD, withheld.get(DECODER, "the decoder before it is of other sizes"))
    fitting = {
        key: given[key]
        for key in own.keys() & given.keys()
        if withheld.keys().isdisjoint((part_of(key), unit_of(key))) and given[key].shape == own[key].shape
    }
    wanted = [key for key in own if not key.endswith("num_batches_tracked")]
    _check_encoder(wanted, fitting, name, least)
    network.load_state_dict(fitting, strict=False)
    used = {sources[key] for key in fitting}
    if mixture is not None and mixture.note and HEAD not in withheld:
        notes.append(f"segmentation head: {mixture.note}")
    notes += _explain_missing(wanted, fitting, withheld)
    if strange := sources.keys() - own.keys():
        notes.append(f"{len(strange)} in the file not used")
    return LoadReport(
        loaded=tuple(key for key in wanted if key in fitting),
        reshaped=tuple(dict.fromkeys(key for key in (*spread, *[first] * (reshaped is not None)) if key in fitting)),
        missing=tuple(key for key in wanted if key not in fitting),
        unused=tuple(key for key in state if key not in used),
        notes=tuple(notes),
        stand_in=mixture is not None and mixture.stand_in,
    )


def _has_other_kernel(its: Tensor, own: Tensor) -> bool:
    """Return whether a weight is of the same convolution of volumes, but its kernel is of planes or of other lengths.

    A convolution of single voxels is another one.
    """
    return (
        own.dim() == 5
        and its.dim() in (4, 5)
        and its.shape[2:] != own.shape[2:]
        and (its.shape[2:].numel() == 1) == (own.shape[2:].numel() == 1)
    )


def _explain_kernels(spread: Sequence[Tensor], axes: int) -> list[str]:
    """Return a note on convolutions whose kernels have other lengths."""
    flat = sum(weight.dim() - 2 < axes for weight in spread)
    others = len(spread) - flat
    notes = [f"{flat} convolutions of planes spread over the third axis"] if flat else []
    return [*notes, f"{others} convolutions fitted to the length of their kernels"] if others else notes


def _reshapes(given: Mapping[str, Tensor], own: Mapping[str, Tensor], first: str, adapter: Adapter) -> str | None:
    """Return a note if the first convolution is for other channels or planes."""
    its, wanted = given.get(first), own[first]
    if its is None or its.dim() != wanted.dim() or not adapter.fits_channels(its):
        return None
    if its.shape[0] != wanted.shape[0] or its.shape[2:] != wanted.shape[2:]:
        return None
    channels = (its.shape[1] // adapter.known_planes, wanted.shape[1] // adapter.planes)
    changes = [
        f"from {before} to {now} {name}"
        for name, before, now in (("channels", *channels), ("planes", adapter.known_planes, adapter.planes))
        if before != now
    ]
    return f"first convolution adapted {' and '.join(changes)}" if changes else None


def _check_encoder(wanted: Sequence[str], fitting: Collection[str], name: str, least: float) -> None:
    """Raise a ModelError if the weights are of another encoder: fewer than a share of its own fit."""
    encoder = [key for key in wanted if key.startswith("encoder.")]
    fits = sum(key in fitting for key in encoder)
    if not fits or fits < least * len(encoder):
        raise ModelError(
            f"{fits or 'None'} of the {len(encoder)} weights of the encoder can be taken from {name}.",
            "Give weights of the same encoder, or set model.encoder to the one that they belong to.",
        )


def first_convolution(network: nn.Module) -> str:
    """Return the name of the one weight whose shape depends on the number of input channels."""
    return next(
        f"{name}.weight" for name, module in network.named_modules() if isinstance(module, (nn.Conv2d, nn.Conv3d))
    )


def _find_misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the parts of a network, but for the encoder, that are of another size, each with what differs.

    Those of their weights that fit would be of no use among random ones. Each step of a decoder is a part.
    """
    misfits: dict[str, str] = {}
    for key in own.keys() & given.keys():
        unit, its = unit_of(key), given[key]
        if unit == "encoder" or its.shape == own[key].shape:
            continue
        channels = unit == HEAD and its.ndim and its.shape[0] != own[key].shape[0]
        misfits[unit] = f"it has {its.shape[0]} channels" if channels else "its sizes differ"
    steps = {unit for key in own if (unit := unit_of(key)).startswith(DECODER)}
    if steps and steps <= misfits.keys():
        misfits[DECODER] = "its sizes differ"
    return misfits


def _explain_missing(wanted: Sequence[str], fitting: Collection[str], withheld: Mapping[str, str]) -> list[str]:
    """Return a note for each part of a network that did not get all its weights: how many are missing, and why."""
    notes = []
    for part in dict.fromkeys(part_of(key) for key in wanted):
        names = [key for key in wanted if part_of(key) == part]
        missing = [key for key in names if key not in fitting]
        label = part.replace("_", " ")
        if not missing:
            continue
        if len(missing) < len(names):
            notes.append(f"{len(missing)} of the {len(names)} tensors of the {label} left random")
            continue
        notes.append(f"{label} left out: {withheld.get(part, 'not among the weights')}")
    return notes
