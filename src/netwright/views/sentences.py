"""What a result says as a whole: the sentences that the terminal and the page share."""

from __future__ import annotations

from collections.abc import Mapping

from netwright.values import DiagnoseResult, ImproveResult, MetricName, Spent, TestEffect, duration
from netwright.views import words

_METRICS: Mapping[str, str] = {
    "accuracy": "the share of samples that the network gets right",
    "balanced_accuracy": "the share that the network gets right, every class counted alike",
    "label_accuracy": "the share of labels that the network gets right",
    "r2": "the share of the targets' variance that the network explains",
}
_TRIVIAL: Mapping[str, str] = {"r2": "always saying the mean"}


def metric_name(metric: MetricName) -> str:
    return "R²" if metric.name == "r2" else words.clean(words.named(metric.name))


def metric_meaning(metric: MetricName) -> str:
    """What the number is, for somebody who never trained a network."""
    trivial = f"{_TRIVIAL.get(metric.name, 'ignoring the inputs')} reaches {words.score(metric.trivial)}"
    meaning = _METRICS.get(metric.name)
    better = "higher is better" if metric.higher_is_better else "lower is better"
    name = metric_name(metric)
    sentence = f"{name} is {meaning}" if meaning else f"{name}: {better}"
    return f"{sentence[0].upper()}{sentence[1:]}; {trivial}, perfect is {words.score(metric.perfect)}."


def judged_on(result: ImproveResult) -> tuple[str, float | None, float | None]:
    """The part that the headline is about, test where there is one, with the scores before and after."""
    part = "test" if result.test is not None and result.after.get("test") is not None else "val"
    return part, result.before.get(part), result.after.get(part)


def headline(result: ImproveResult) -> str:
    """The outcome in one sentence with its numbers."""
    part, before, after = judged_on(result)
    where = {"test": "samples it never saw", "val": "the validation samples"}[part]
    first, last = words.from_to(before, after)
    name = metric_name(result.metric)
    if result.outcome == "improved":
        if first and last:
            return f"Improved: {name} on {where} went from {first} to {last}."
        return f"Improved: {name} on {where} is now {last}." if last else "Improved."
    stands = f" {name} on {where} is {last or first}." if last or first else ""
    tried = words.plural(len(result.verdicts), "idea")
    return {
        "already good": f"Already good: nothing was found that holds this network back.{stands}",
        "not improved": f"Not improved: none of {tried} that were tried helped.{stands}"
        if result.verdicts
        else f"Not improved.{stands}",
        "inconclusive": f"Inconclusive: not enough was measured to be sure.{stands}",
    }[result.outcome]


def looks(test: TestEffect) -> str:
    """`first look at these 270 samples`; from the second on they are no longer independent."""
    samples = words.plural(test.samples, "sample")
    if test.looks <= 1:
        return f"first look at these {samples}"
    return f"look {test.looks} at these {samples}: no longer independent"


def effect_on_test(test: TestEffect) -> str:
    """`+0.87 [+0.84, +0.90]`."""
    places = words.decimals(test.low, test.high)
    return f"{words.signed(test.effect, places)} {words.interval(test.low, test.high, places)}".strip()


def result_words(result: ImproveResult) -> list[str]:
    """The pieces of the terminal's line: outcome, scores, and on what."""
    part, before, after = judged_on(result)
    first, last = words.from_to(before, after)
    label = {"test": "test", "val": "validation"}[part]
    parts = [result.outcome]
    if first and last:
        parts.append(f"{label} {first} → {last}")
    elif last or first:
        parts.append(f"{label} {last or first}")
    if result.test is None:
        return [*parts, "nothing unseen was scored"]
    parts[-1] += f", {effect_on_test(result.test)}"
    return [*parts, looks(result.test)]


def spent_words(spent: Spent) -> str:
    """`1 min 38 s, 212 epochs, 16 trials`."""
    parts = [duration(spent.seconds)]
    if spent.epochs:
        parts.append(words.plural(spent.epochs, "epoch"))
    elif spent.steps:
        parts.append(words.plural(spent.steps, "step"))
    if spent.trials:
        parts.append(words.plural(spent.trials, "trial"))
    return ", ".join(parts)


def diagnosis_words(result: DiagnoseResult) -> str:
    """What the diagnosis comes to, in one sentence."""
    if result.outcome == "healthy":
        return "Healthy: every check that applies ran, and none of them fired."
    if result.outcome == "inconclusive":
        return "Inconclusive: not enough was measured to be sure."
    return f"{words.plural(len(result.findings), 'cause')} found, the most probable first."


def skipped_words(skipped: Mapping[str, str]) -> str:
    """`2 checks did not apply: batch-leak (needs a batch), leakage (muted)`."""
    listed = ", ".join(
        f"{words.clean(check)} ({words.clean(reason)})" if reason else words.clean(check)
        for check, reason in skipped.items()
    )
    return f"{words.plural(len(skipped), 'check')} did not run: {listed}" if skipped else ""
