"""What a single run accuses is asked again of a second one before it is said."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

import attrs

from netwright.catalogue import Check, Needs
from netwright.diagnosis.gathering import Tools
from netwright.diagnosis.probing import TRAININGS, ask_all, train_copies
from netwright.diagnosis.ranking import THRESHOLD, Ranking
from netwright.recipe import user_code
from netwright.runs import Evidence
from netwright.runs.probes import TRAINED_PROBES
from netwright.trials import Failure, Job
from netwright.trials.race import run_all
from netwright.values import Event, Finding

OF_A_RUN = frozenset({*TRAINED_PROBES, *TRAININGS})
UNSAID = 0.9 * THRESHOLD


def of_one_run(findings: Iterable[Finding], checks: Iterable[Check]) -> tuple[Check, ...]:
    """The checks behind the findings that rest on how one seed's training went."""
    by_id = {check.id: check for check in checks}
    asking = (by_id.get(finding.check) for finding in findings)
    return tuple(dict.fromkeys(c for c in asking if c is not None and Needs.RUN in c.needs))


def ask_another_run(
    evidence: Sequence[Evidence], checks: Sequence[Check], tools: Tools, attempt: int
) -> Generator[Event, None, list[Evidence]]:
    """The evidence with a run of a fresh seed in the second place, and there the probes that `checks` need.

    The seed is the first of those that confirm: where a confirmation follows, its run costs nothing more.
    Source: Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks (2021), on what one
    seed can show.
    """
    first, second = evidence[0], evidence[-1]
    recipe = first.recipe
    assert recipe is not None
    seed = tools.seeds.reproducing(1, attempt)[0]
    job = Job(
        recipe, seed, None, "asked again", keep_weights=True, tapped=True,
        max_seconds=tools.max_seconds, device=tools.device,
    )  # fmt: skip
    results = yield from run_all(tools.engine, [job])
    run = results[0]
    if isinstance(run, Failure):
        return list(evidence)
    fresh = attrs.evolve(
        second,
        run=run,
        probes={name: answer for name, answer in second.probes.items() if name not in OF_A_RUN},
        unanswered={name: why for name, why in second.unanswered.items() if name not in OF_A_RUN},
    )
    with user_code(recipe.display_name):
        (fresh,) = ask_all([fresh], checks, "trained", tools.device)
    if any(set(check.probes) & set(TRAININGS) for check in checks):
        (fresh,) = yield from train_copies([fresh], checks, tools.engine, tools.device, tools.max_seconds)
    return [*evidence[:-1], fresh]


def unsaid(ranking: Ranking, checks: Iterable[Check]) -> Ranking:
    """The ranking where no second run can be afforded: what one run accuses stays below the threshold."""
    checks = tuple(checks)
    held = tuple(f for f in ranking.findings if of_one_run([f], checks))
    lowered = tuple(attrs.evolve(f, confidence=min(f.confidence or 0.0, UNSAID)) for f in held)
    return Ranking(tuple(f for f in ranking.findings if f not in held), (*lowered, *ranking.considered))
