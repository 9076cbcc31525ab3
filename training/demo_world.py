"""./dev train: trains the models of the demo world, on a CPU or any number of GPUs, and goes on where it was stopped.

Stages, in order (all of them if none is named):
  video_vae        the Wan 2.1-format VAE
  video_latents    training clips and their conditions through that VAE
  video_vae_decoder
                   its decoder alone goes on; the latents stay as they are
  video_model_flf2v, video_model_i2v, video_model_t2v
                   the Wan 2.1-format transformers: taught to inbetween, to go on from a first picture, from words alone
  picture_vae      the TAESD-format autoencoder of pictures
  picture_latents  training clips through it
  picture_model    the SVD-format UNet
  backward_motion  what its temporal attention must change to move a video backwards
  bridge_latents   what bridges begin with: cross-fades of the clips' ends through the VAE
  bridge_aligned, bridge_unaligned, bridge_diffusion
                   bridges from t2v, with and without SNR alignment, and their diffusion counterpart
  neural_prior     a guess of the clip by one call
  collect          puts the files that are there into demo/models, in half precision
Each stage keeps its run (state, log, the host's files) under training_runs/. `accelerate` decides the devices. A stage
that was not run is taken from --start-from, where that holds its file.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState

from ..demo.base_folder import ROOT, WORLD_MODELS
from .bridge import WAYS, BridgeModel, prior_latents
from .loop import Settings, Task, train
from .neural_prior import NeuralPrior
from .picture_model import PictureModel, write_latents
from .picture_vae import PictureVAE
from .shipped import collect
from .video_latents import SHARD, fingerprint, write_shards
from .video_model import BASES, VideoModel
from .video_vae import VideoDecoder, VideoVAE

RUNS = ROOT / "training_runs"
FIRST, BRIDGED = "flf2v", "t2v"  # the base that others begin with, and the one that bridges begin with
Stage = Task | type[VideoVAE | PictureVAE | PictureModel]  # what has the name of a stage and of its file


@dataclass(frozen=True)
class Plan:
    """How much of everything. What made the files in demo/models, in how many runs, stands in their card."""

    video_vae: tuple[int, float] = (5_000, 9e-3)  # steps, highest rate
    video_vae_decoder: tuple[int, float] = (2_000, 9e-3)
    video_model: tuple[int, float] = (6_000, 3e-3)
    further_model: tuple[int, float] = (1_500, 1e-3)  # from the first one's weights
    picture_vae: tuple[int, float] = (1_400, 2e-3)
    picture_model: tuple[int, float] = (3_000, 3e-3)
    backward_motion: tuple[int, float] = (600, 1e-3)
    adapters: tuple[int, float] = (600, 1e-3)
    vae_width: int = 16
    video_shards: int = 115
    shard_clips: int = SHARD
    picture_clips: int = 2_500
    batch_divisor: int = 1
    judges: int = 16  # validation clips for held-out numbers


SMALL = Plan(vae_width=8, video_shards=1, shard_clips=8, picture_clips=8, batch_divisor=8, judges=2)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev train", description=__doc__.splitlines()[0])
    parser.add_argument(
        "stages", nargs="*", metavar="stage", help=f"{', '.join(STAGES)}; all in order if none is named"
    )
    parser.add_argument("--runs", type=Path, default=RUNS, help="where runs are kept")
    parser.add_argument("--models", type=Path, default=WORLD_MODELS, help="where collect puts the files")
    parser.add_argument("--steps", type=int, help="steps of a stage, instead of the plan's")
    parser.add_argument("--rate", type=float, help="highest learning rate, instead of the plan's")
    parser.add_argument("--every", type=int, default=500, help="steps between held-out numbers and checkpoints")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw batches")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--start-from", type=Path, help="a models folder whose weights new runs begin with")
    parser.add_argument(
        "--shards", type=int, nargs=2, metavar=("FROM", "TO"), help="only these shards of video latents"
    )
    parser.add_argument("--small", action="store_true", help="small batches, few clips: to see that it runs")
    options = parser.parse_args(arguments)
    unknown = [stage for stage in options.stages if stage not in STAGES]
    if unknown:
        parser.error(f"{unknown[0]!r} is no stage: use {', '.join(STAGES)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    prepare_host()
    run = Run(options, SMALL if options.small else Plan())
    for stage in options.stages or STAGES:
        STAGES[stage](run)
    return 0


def prepare_host() -> None:
    """Before its modules are imported: the host's own switches for a machine without a GPU and for training."""
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    import comfy.model_management

    comfy.model_management.in_training = True  # the rotary embedding that has a derivative


class Run:
    """The stages of one call, with its options."""

    def __init__(self, options: argparse.Namespace, plan: Plan) -> None:
        self._options, self._plan, self._runs = options, plan, options.runs

    def video_vae(self) -> None:
        # going on from trained weights, the residual branches are there from the first step
        options = {} if self._options.start_from is None else {"shallow_share": 0.0}
        self._train(VideoVAE(self._plan.vae_width, judges=self._plan.judges, **options), self._plan.video_vae)

    def video_vae_decoder(self) -> None:
        vae = self._written(VideoVAE)
        task = VideoDecoder(fingerprint(vae), self._plan.vae_width, self._plan.judges)
        self._train(task, self._plan.video_vae_decoder, start=models_folder(vae))

    def video_latents(self) -> None:
        numbers = range(*(self._options.shards or (0, self._plan.video_shards)))
        folder = self._runs / "video_latents"
        self._alone(lambda: write_shards(self._written(VideoVAE), folder, numbers, self._plan.shard_clips))

    def video_model(self, base: str) -> None:
        """The first base begins with nothing, the others with its weights."""
        task, first = self._video_model(base), self._video_model(FIRST)
        if base == FIRST:
            self._train(task, self._plan.video_model)
        else:
            self._train(task, self._plan.further_model, start=models_folder(self._written(first)))

    def _video_model(self, base: str) -> VideoModel:
        vae, latents = self._written(VideoVAE), self._runs / "video_latents"
        return VideoModel(base, vae, latents, 24 // self._plan.batch_divisor, self._plan.judges)

    def picture_vae(self) -> None:
        self._train(PictureVAE(8 // self._plan.batch_divisor), self._plan.picture_vae)

    def picture_latents(self) -> None:
        path = self._runs / "picture_latents.safetensors"
        self._alone(lambda: write_latents(self._written(PictureVAE), path, self._plan.picture_clips))

    def picture_model(self) -> None:
        vae, latents = self._written(PictureVAE), self._runs / "picture_latents.safetensors"
        task = PictureModel(vae, latents, 8 // self._plan.batch_divisor, self._plan.judges)
        self._train(task, self._plan.picture_model)

    def backward_motion(self) -> None:
        from .demo_motion import DemoMotion  # with the host's nodes, after its switches are set

        vae, unet = self._written(PictureVAE), self._written(PictureModel)
        task = DemoMotion(vae, unet, 8 // self._plan.batch_divisor, self._plan.judges)
        self._train(task, self._plan.backward_motion, muon=False)

    def bridge_latents(self) -> None:
        vae, latents = self._written(VideoVAE), self._runs / "video_latents"
        self._alone(lambda: prior_latents(vae, latents, self._runs / "bridge_latents"))

    def bridge(self, way: str) -> None:
        self._adapter(partial(BridgeModel, way))

    def neural_prior(self) -> None:
        self._adapter(NeuralPrior)

    def _adapter(self, task: Callable[..., Task]) -> None:
        vae, base = self._written(VideoVAE), self._written(self._video_model(BRIDGED))
        made = task(vae, base, self._runs / "bridge_latents", 24 // self._plan.batch_divisor, self._plan.judges)
        self._train(made, self._plan.adapters, muon=False)

    def collect(self) -> None:
        self._alone(lambda: collect(self._runs, self._options.models))

    @staticmethod
    def _alone(work: Callable[[], object]) -> None:
        """What one process does while the others wait."""
        state = PartialState()
        if state.is_main_process:
            work()
        state.wait_for_everyone()

    def _train(self, task: Task, plan: tuple[int, float], muon: bool = True, start: Path | None = None) -> None:
        """start: a models folder that a new run begins with, where --start-from has no file for this task."""
        options = self._options
        settings = Settings(
            steps=options.steps or plan[0],
            rate=options.rate or plan[1],
            workers=options.workers,
            every=options.every,
            threads=options.threads,
            muon=muon,
        )
        given = options.start_from
        if given is not None and (given / task.file).exists():
            start = given
        train(task, self._runs / task.name, settings, start)

    def _written(self, task: Stage) -> Path:
        """The file of a stage that has run, or the one to start from."""
        path = self._runs / task.name / "models" / task.file
        given = self._options.start_from
        if not path.exists() and given is not None and (given / task.file).exists():
            return given / task.file
        if not path.exists():
            raise SystemExit(f"{path} is not there: run the stage {task.name} first")
        return path


def models_folder(path: Path) -> Path:
    """The models folder that a file in one of its subfolders belongs to."""
    return path.parents[1]


STAGES: dict[str, Callable[[Run], None]] = {
    "video_vae": Run.video_vae,
    "video_latents": Run.video_latents,
    "video_vae_decoder": Run.video_vae_decoder,
    **{f"video_model_{base}": partial(Run.video_model, base=base) for base in BASES},
    "picture_vae": Run.picture_vae,
    "picture_latents": Run.picture_latents,
    "picture_model": Run.picture_model,
    "backward_motion": Run.backward_motion,
    "bridge_latents": Run.bridge_latents,
    **{f"bridge_{way}": partial(Run.bridge, way=way) for way in WAYS},
    "neural_prior": Run.neural_prior,
    "collect": Run.collect,
}
