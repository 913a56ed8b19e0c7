"""Pre-trained weights of a backbone: from the hub of torchvision or timm, from a file, or none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import torch

from napari_threestage.errors import ConfigError
from napari_threestage.training.weight_names import known_names

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor, nn

    from napari_threestage.config import NetworkConfig

NOT_NEEDED = ("fc.", "classifier.")  # layers behind the five blocks


def timm_library() -> ModuleType:
    """Return timm, which only the transformers need.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise ConfigError(
            "The backbones 'vit_…' need the package timm, which is not installed.",
            'Install it: pip install "napari-threestage[encoders]".',
        ) from error
    module: ModuleType = timm
    return module


def find_weights(config: NetworkConfig) -> tuple[NetworkConfig, str | None]:
    """Turn ``imagenet`` and ``auto`` into a local file, downloading it once.

    The backbone ``auto`` becomes ``mobilenet_v2`` where there are weights for it and otherwise
    ``compact``, which needs none.

    Returns
    -------
    The configuration whose `weights` is ``none`` or a file, and a warning if ``auto`` found none.

    Raises
    ------
    ConfigError
        ``imagenet`` was asked for and cannot be had.
    """
    if config.weights not in ("auto", "imagenet", "none"):
        config = _checked_file(config)
    wanted = "mobilenet_v2" if config.backbone == "auto" else config.backbone
    weights, warning = config.weights, None
    if weights in ("auto", "imagenet") and wanted != "compact":
        weights, warning = _imagenet(wanted, required=weights == "imagenet")
    elif weights in ("auto", "imagenet"):
        weights = "none"
    backbone = "compact" if config.backbone == "auto" and weights == "none" else wanted
    return config.model_copy(update={"weights": weights, "backbone": backbone}), warning


def _checked_file(config: NetworkConfig) -> NetworkConfig:
    """Try to read the file, and name it by its whole path: a run goes on from any folder."""
    if config.backbone == "compact":
        raise ConfigError(
            "The backbone 'compact' has no pre-trained weights.", "Use --set network.weights=none."
        )
    path = Path(config.weights).expanduser().resolve()
    _read_state(path)
    return config.model_copy(update={"weights": str(path)})


def _imagenet(backbone: str, required: bool) -> tuple[str, str | None]:
    """Return the file of weights, or ``none`` and a warning."""
    try:
        return str(_download(backbone)), None
    except (URLError, OSError, RuntimeError) as error:  # the last: not what the hash says
        why = getattr(error, "reason", error)
        message = f"The published weights of {backbone} cannot be downloaded ({why})."
        hint = f"Fetch {_source(backbone)} elsewhere and use --set network.weights=FILE."
        if required:
            raise ConfigError(message, hint) from error
        return "none", f"{message} Training starts from random weights, which costs quality. {hint}"


def load_backbone_weights(model: nn.Module, config: NetworkConfig) -> None:
    """Load a file made for a model of the same name; its classifier is not needed.

    Parameters
    ----------
    model
        Of torchvision or timm.
    config
        Names the file: one of torchvision or timm, or of the authors of ConvNeXt, DINOv2 or DINOv3.

    Raises
    ------
    ConfigError
        The file cannot be read or belongs to another network.
    """
    if config.weights == "none":
        return
    state = known_names(_read_state(Path(config.weights).expanduser()), model, config.backbone)
    known = model.state_dict()
    fitting = {
        name: value
        for name, value in state.items()
        if name in known and known[name].shape == value.shape
    }
    missing = [name for name in known if name not in fitting and not name.startswith(NOT_NEEDED)]
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing:
        library = "timm" if config.backbone.startswith("vit_") else "torchvision"
        raise ConfigError(
            f"The weights in {config.weights} do not belong to {config.backbone}: "
            f"{len(missing)} of {len(known)} tensors are missing or have another shape, "
            f"the first is {missing[0]}.",
            f"Use a file made for {library}'s {config.backbone}.",
        )
    model.load_state_dict(fitting, strict=False)


def _source(backbone: str) -> str:
    """Return where the published weights are, for people."""
    if backbone.startswith("vit_"):
        return f"the model {timm_library().get_pretrained_cfg(backbone).hf_hub_id}"
    from torchvision.models import get_model_weights

    entry: Any = get_model_weights(backbone)["IMAGENET1K_V1"]
    return str(entry.url)


def _download(backbone: str) -> Path:
    if backbone.startswith("vit_"):
        return _download_transformer(backbone)
    from torchvision.models import get_model_weights

    entry: Any = get_model_weights(backbone)["IMAGENET1K_V1"]
    path: Path = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rsplit("/", 1)[-1]
    if not path.exists():
        torch.hub.load_state_dict_from_url(
            entry.url, map_location="cpu", check_hash=True, weights_only=True, progress=False
        )
    return path


def _download_transformer(backbone: str) -> Path:
    config = timm_library().get_pretrained_cfg(backbone)
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    place = config.hf_hub_id, config.hf_hub_filename or "model.safetensors"
    kept = try_to_load_from_cache(*place)  # needs no connection
    return Path(kept if isinstance(kept, str) else hf_hub_download(*place))


def _read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict without running any code from the file."""
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.", "network.weights names a file of weights.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise a dozen kinds for a bad file
        reason = (str(error) or "it ends too early").splitlines()[0].rstrip(".")
        raise ConfigError(
            f"{path} cannot be read as weights: {reason}.",
            "Give a safetensors file or a state dict saved by torch.",
        ) from error
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]  # as the authors of ConvNeXt save it
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise ConfigError(f"{path} holds no state dict.", "Save model.state_dict() and use that.")
    return state
