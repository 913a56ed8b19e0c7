"""What a comparison says in sentences: whether the later stages helped, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    Document = Mapping[str, Any]  # of ``threestage compare``

SET_ASIDE = (
    "To know: set five or more labelled images aside for validation (right click on them in the "
    "list of images), and train again."
)


@dataclass(frozen=True)
class Verdict:
    """Whether the later stages helped.

    Attributes
    ----------
    helped
        yes, no, unclear or unknown.
    advice
        How to know more.
    hint
        The same for those who type commands.
    """

    helped: str
    sentence: str
    advice: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Alarm:
    """A class that has gone wrong.

    Attributes
    ----------
    run, stage
        What to use instead; stage 0 when no stage is better.
    """

    sentence: str
    advice: str
    run: str
    stage: int
    hint: str = ""


def verdict(document: Document) -> Verdict:
    """Return the verdict of a comparison."""
    found = document["verdict"]
    honest = found["group"] in ("validation", "new")
    advice = "" if honest else SET_ASIDE
    sentence = found["sentence"] or "Nobody can say whether the later stages helped."
    # Better on what was learnt from is no success to be marked as one.
    helped = found["helped"] if honest else "unknown"
    return Verdict(helped, sentence, advice, "\n".join(found["hints"]))


def alarms(document: Document) -> list[Alarm]:
    """Return what to warn of, each with what to use instead."""
    runs = {column["key"]: column["run"] for column in document["columns"]}
    return [_alarm(one, runs.get(one["key"], "")) for one in document["alarms"]]


def _alarm(found: Mapping[str, Any], run: str) -> Alarm:
    good = found["last_good_stage"]
    advice = f"Stage {good} is the last good one." if good is not None else found["hint"]
    return Alarm(found["sentence"], advice, run, good or 0, found["hint"])


def said_instead(stage: int) -> tuple[str, str]:
    """Return what to say when the mask of an earlier stage is shown in place of a bad one."""
    return (
        f"The mask of stage {stage} is shown now.",
        f"To use it: choose stage {stage} in Export, or take its masks over into the labels.",
    )
