"""Where in the whole sampling a model call's step is: from the host's schedule, or, of a part of one, from its source.

The host passes the schedule of the run. A part, as SplitSigmas and KSamplerAdvanced cut it for two experts, is looked
for in what the host's schedulers make for this model, since under kl_optimal, linear_quadratic or beta the share of the
steps is not the share that the noise level says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comfy.samplers

from .other_nodes import node_of
from .schedule_place import in_window, is_whole, nearest_step, places_in_whole, step_place
from .video_model_host import Call

MOST_STEPS = 100  # a whole schedule of more is not looked for
UNKNOWN = (
    "this run samples a part of a schedule, and of which one cannot be known, so the place of its steps is read from "
    "{by}. Look whether start_percent and end_percent suit."
)


def step_in_window(call: Call, node: str, start: float, end: float) -> bool:
    """Whether a call's step, by its place in the whole sampling, is in a window; True if it has no noise level.

    The run remembers the place. Where it cannot be known and that makes a difference, the log says so once in a run.
    """
    sigmas, given = call.options.get("sigmas"), call.options.get("sample_sigmas")
    if sigmas is None:
        return True
    sigma, schedule = float(sigmas.flatten()[0]), [] if given is None else given.tolist()
    places = _places(call, sigma, schedule, node)
    place = sum(places) / len(places)
    if call.run is not None:
        call.run.places.add(place)
        if len({in_window(one, start, end) for one in places}) > 1:
            call.run.tell(node, UNKNOWN.format(by="all that have it, in the mean"))
    return in_window(place, start, end)


def _places(call: Call, sigma: float, schedule: list[float], node: str) -> list[float]:
    """Where a step may be, 0..1, one place or more."""
    sampling = call.base.model_sampling
    top = float(sampling.sigma_max)
    if call.run is not None and len(schedule) > 1 and not is_whole(schedule, top):
        known, part = call.run.known, tuple(schedule)
        if part not in known:
            known[part] = places_in_whole(part, _schedules(sampling, len(part)), top)
        if known[part]:
            step = nearest_step(sigma, schedule)
            return [places[step] for places in known[part]]
        call.run.tell(node, UNKNOWN.format(by="its noise level, which is right for even schedules such as simple"))
    return [step_place(sigma, schedule, top, lambda share: float(sampling.percent_to_sigma(share)))]


def _schedules(sampling: Any, least: int) -> Iterator[list[float]]:
    """What every scheduler of the host makes for a model, from as many levels on as a part has."""
    own = [name for name, entry in comfy.samplers.SCHEDULER_HANDLERS.items() if node_of(entry.handler) is None]
    for name in own:
        for steps in range(max(1, least - 2), MOST_STEPS + 1):
            yield comfy.samplers.calculate_sigmas(sampling, name, steps).tolist()
