"""LPIPS on the host's device: the lpips package's network and linear heads, the backbone's weights from a user's file.

symbol    here        shape         unit
phi_l     features    [n,C,h,w]     unit length over channels, one tensor per layer l
w_l       lins        [1,C,1,1]     linear heads v0.1, shipped with the package
d         adjacent    [F-1]         sum over l of the spatial mean of w_l (phi_l - phi_l')^2, frames n and n+1
d         between     [n]           the same of pairs of pictures

Source: Zhang et al. 2018, arXiv:1801.03924v2, Eq. 1; lpips 0.1.4. Differences: a frame passes the network once, not
once per pair; nothing is downloaded.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from torch import Tensor

from .perceptual_distance import adjacent_distances, to_lpips_range
from .watch_host import watch_frames

FOLDER = "lpips"
MOST_FRAMES_AT_ONCE = 16
FAST_ON_CPU = 64 * 2**20  # bytes of activations; more than a CPU's caches hold makes it slower, by up to two times
# backbone: (shown name, torchvision's public file, a weight that only it has and its shape, activation bytes per pixel)
BACKBONES = {
    "alex": ("AlexNet", "alexnet-owt-7be5be79.pth", "features.10.weight", (256, 256, 3, 3), 200),
    "squeeze": ("SqueezeNet 1.1", "squeezenet1_1-b8a52dc0.pth", "features.12.expand3x3.weight", (256, 64, 3, 3), 500),
    "vgg": ("VGG16", "vgg16-397923af.pth", "features.28.weight", (512, 512, 3, 3), 2500),
}


def register_folder() -> None:
    """Makes models/lpips known to the host, beside any folder the user named in extra_model_paths.yaml.

    Again and again does no harm, so whoever asks for files may call it first.
    """
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def backbone_files() -> list[str]:
    """Names of the weight files in models/lpips."""
    register_folder()
    endings = (".safetensors", ".pth", ".pt")
    return [name for name in folder_paths.get_filename_list(FOLDER) if name.lower().endswith(endings)]


def backbone_path(name: str) -> str:
    """Full path of a file in models/lpips.

    Raises:
        ValueError: it is not there; the sentence says what to put where.
    """
    register_folder()
    path = folder_paths.get_full_path(FOLDER, name)
    if path is None:
        folders = folder_paths.get_folder_paths(FOLDER)
        raise ValueError(
            f"backbone {name!r} is not in {folders[0]}. Put one of the public ImageNet weights there: "
            f"{_public_files()}; the same weights as .safetensors work too. Nothing is downloaded for you."
        )
    return path


def _public_files() -> str:
    return ", ".join(f"{file} ({shown})" for shown, file, *_ in BACKBONES.values())


def load_lpips(name: str) -> LPIPSMetric:
    """LPIPS with a backbone from models/lpips: AlexNet, SqueezeNet 1.1 or VGG16, told apart by its weights.

    Raises:
        ValueError: the file is missing, unreadable, or holds none of the three networks.
    """
    path = backbone_path(name)
    try:
        weights = comfy.utils.load_torch_file(path, safe_load=True)
    except Exception as error:  # every reader fails in its own way; the artist needs one sentence
        raise ValueError(
            f"backbone {name!r} cannot be read as a plain weights file: it is damaged, a web page, or holds more than "
            f"weights. Get the public file again."
        ) from error
    kind = _backbone_kind(weights, name)
    return LPIPSMetric(kind, _network(kind, weights, name))


def _backbone_kind(weights: Any, name: str) -> str:
    tensors = weights.items() if isinstance(weights, dict) else ()
    shapes = {key: tuple(value.shape) for key, value in tensors if isinstance(value, Tensor)}
    for kind, (_, _, key, shape, _) in BACKBONES.items():
        if shapes.get(key) == shape:
            return kind
    wanted = ", ".join(shown for shown, *_ in BACKBONES.values())
    raise ValueError(
        f"backbone {name!r} holds none of {wanted}, as they are published for LPIPS: it has "
        f"{len(shapes) or 'no'} weights, of another kind. Get {_public_files()}."
    )


def random_network(kind: str) -> torch.nn.Module:
    """The lpips package's network with its linear heads and a random backbone; the global random state stays as it was.

    Args:
        kind: a key of BACKBONES.
    """
    import lpips  # brings torchvision's models; only graphs with LPIPS pay for it

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # torchvision deprecates the argument by which lpips asks for no download
        network = lpips.LPIPS(net=kind, pnet_rand=True, verbose=False)
    return network.requires_grad_(False).eval()


def _network(kind: str, weights: dict[str, Tensor], name: str) -> torch.nn.Module:
    network = random_network(kind)
    backbone = network.get_submodule("net")
    wanted = {key: re.sub(r"^slice\d+", "features", key) for key in backbone.state_dict()}
    shown, file = BACKBONES[kind][:2]
    missing = [source for source in wanted.values() if not isinstance(weights.get(source), Tensor)]
    if missing:
        raise ValueError(
            f"backbone {name!r} is incomplete: it lacks {len(missing)} of {shown}'s {len(wanted)} weights. Get {file} "
            f"again."
        )
    sizes = {wanted[key]: value.shape for key, value in backbone.state_dict().items()}
    wrong = [source for source, size in sizes.items() if weights[source].shape != size]
    if wrong:
        raise ValueError(
            f"backbone {name!r} has {len(wrong)} of {len(wanted)} weights of another shape than {shown}'s: it is of "
            f"another network. Get {file} again."
        )
    backbone.load_state_dict({key: weights[source].float() for key, source in wanted.items()})
    if not all(torch.isfinite(value).all() for value in backbone.state_dict().values()):
        raise ValueError(f"backbone {name!r} has weights that are not numbers (NaN or infinite): get it again.")
    return network


class LPIPSMetric:
    """LPIPS distance of pictures, computed on the host's device through its model management."""

    def __init__(self, kind: str, network: torch.nn.Module) -> None:
        self.name = f"LPIPS ({BACKBONES[kind][0]})"
        self._bytes_per_pixel = BACKBONES[kind][-1]
        self._patcher = comfy.model_patcher.CoreModelPatcher(
            network,
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )

    @property
    def device(self) -> torch.device:
        """Where the network is: the host's device, or the CPU where the host keeps all weights there (--novram)."""
        return next(self._patcher.model.parameters()).device

    @torch.no_grad()
    def adjacent(self, frames: Tensor, chunk: int = 0) -> Tensor:
        """LPIPS of frames n and n+1, each frame through the network once.

        Args:
            frames: [F,H,W,3] in 0..1, F >= 2, sides of at least 32 pixels.
            chunk: frames at once; 0 takes what the device is fast at and fits the free memory, 16 at most.
        Returns:
            [F-1] float32 on the CPU.
        Raises:
            ValueError: the frames are smaller than the network's first layers.
        Cost: F backbone passes; activations of `chunk` frames. Halves the chunk when memory runs out.
        """
        return self._in_memory(frames, 1, chunk, lambda chunk: self._adjacent(frames, chunk))

    @torch.no_grad()
    def between(self, these: Tensor, those: Tensor, chunk: int = 0) -> Tensor:
        """LPIPS of these[n] and those[n].

        Args:
            these, those: [n,H,W,3] in 0..1, sides of at least 32 pixels.
            chunk: pairs at once; 0 takes what the device is fast at and fits the free memory, 8 at most.
        Returns:
            [n] float32 on the CPU.
        Raises:
            ValueError: the pictures are smaller than the network's first layers.
        Cost: 2 n backbone passes; activations of `chunk` pairs. Halves the chunk when memory runs out.
        """
        return self._in_memory(these, 2, chunk, lambda chunk: self._between(these, those, chunk))

    def _in_memory(self, frames: Tensor, passes: int, chunk: int, measure: Callable[[int], Tensor]) -> Tensor:
        """What `measure` gives, with so many frames (or pairs: 2 passes) at once that the memory holds them."""
        if min(frames.shape[1:3]) < 32:
            raise ValueError(
                f"frames are {frames.shape[2]}x{frames.shape[1]} pixels, LPIPS needs at least 32x32: "
                f"make them larger or leave metric open (1-SSIM)."
            )
        per_chunk = passes * self._bytes_per_pixel * frames.shape[1] * frames.shape[2]
        most = min(len(frames), MOST_FRAMES_AT_ONCE // passes)
        # whole or not at all: the host streams parts of its own layers only, and these are torch's
        comfy.model_management.load_models_gpu(
            [self._patcher], memory_required=per_chunk * (chunk or 1), force_full_load=True
        )
        if not chunk:
            room = comfy.model_management.get_free_memory(self.device) * 0.7
            room = min(room, FAST_ON_CPU) if self.device.type == "cpu" else room
            chunk = max(1, min(most, int(room / per_chunk)))
        while True:
            try:
                return measure(chunk)
            except comfy.model_management.OOM_EXCEPTION:
                if chunk == 1:
                    raise
            comfy.model_management.soft_empty_cache()
            chunk //= 2

    def _adjacent(self, frames: Tensor, chunk: int) -> Tensor:
        done = watch_frames(len(frames))

        def features(images: Tensor) -> Sequence[Tensor]:
            seen = self._features(images)
            done(len(images))
            return seen

        return adjacent_distances(frames, features, self._distance, chunk)

    def _between(self, these: Tensor, those: Tensor, chunk: int) -> Tensor:
        done, found = watch_frames(len(these)), []
        for left, right in zip(these.split(chunk), those.split(chunk), strict=True):
            found.append(self._distance(self._features(left), self._features(right)).float().cpu())
            done(len(left))
        return torch.cat(found)

    def _features(self, images: Tensor) -> list[Tensor]:
        import lpips

        network = self._patcher.model
        scaled = network.scaling_layer(to_lpips_range(images.to(device=self.device, dtype=torch.float32)))
        return [lpips.normalize_tensor(layer) for layer in network.net(scaled)]

    def _distance(self, these: Sequence[Tensor], those: Sequence[Tensor]) -> Tensor:
        layers = zip(self._patcher.model.lins, these, those, strict=True)
        return sum(head((this - that).square_()).mean(dim=(1, 2, 3)) for head, this, that in layers)
