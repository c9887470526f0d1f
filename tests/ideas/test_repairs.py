"""Ideas that answer a finding: each proposes an edit after which its check is content, or keeps silent."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import netwright as nw
from conftest import digits_data, mlp
from diagnosis import faulty
from diagnosis import test_checks_architecture as architecture
from diagnosis import test_checks_generalisation as generalisation
from diagnosis import test_checks_sequences as sequences
from diagnosis import test_checks_settings as settings
from diagnosis.cases import CHECKS, CLOCKS, adam, gather, recipe, regression, value_of
from diagnosis.networks import Convolutional, Recurrent, rows_of_digits
from netwright.catalogue import Catalogue
from netwright.diagnosis import examine
from netwright.ideas.situation import Situation, edits_of
from netwright.recipe.changes import changes_of
from netwright.recipe.source import shown
from netwright.runs import train
from netwright.values import Edit, Finding, from_json, to_json
from patterns import test_copies as copies
from patterns import test_labels as labels
from patterns import test_parts as parts

IDEAS = Catalogue.collect().ideas


class SaturatedCalls(nn.Module):
    """Eight sigmoids in forward."""

    def __init__(self):
        super().__init__()
        self.inward, self.head = nn.Linear(64, 32), nn.Linear(32, 10)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(6))

    def forward(self, x):
        x = torch.sigmoid(self.inward(x.flatten(1)))
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.head(x)


def half_held(parameters, **settings):
    return torch.optim.SGD(list(parameters)[2:], **settings)


def of(table, check, name):
    return table.MUST_FIRE[check][name]


def coded():
    x, y = digits_data(600).train
    x = x.reshape(len(x), -1).astype("float32").copy()
    x[::20, 12] = -999.0
    return adam(nw.Data.arrays(x, y), partial(mlp, 64))


def shifted_in_training():
    x, y = digits_data(900).train
    return adam(nw.Data((x[:700], np.roll(y[:700], 1)), (x[700:], y[700:])), epochs=6)


def circles():
    """Two classes, one around the other."""
    x = np.random.default_rng(0).normal(size=(600, 2)).astype("float32")
    return nw.Data.arrays(x, ((x**2).sum(1) > 1.4).astype("int64"))


def one_layer():
    return nn.Sequential(nn.Linear(2, 2))


REPAIRS = {
    "activations-between-layers": ("missing-nonlinearity", lambda: recipe(network=faulty.NothingBetween)),
    "no-activation-at-the-end": ("wrong-activation", lambda: regression(network=faulty.RectifiedNumber)),
    "sigmoid-for-softmax": ("wrong-activation", lambda: settings.binary(faulty.SoftmaxOverOneUnit, "bce")),
    "rectify-calls": ("vanishing-gradient", lambda: recipe(network=SaturatedCalls)),
    "keep-the-gradient": ("untrained-parameters", lambda: recipe(network=faulty.Detached)),
    "adopt-hidden-layers": ("untrained-parameters", lambda: recipe(network=faulty.PlainList)),
    "every-parameter-to-the-optimizer": ("untrained-parameters", lambda: recipe(optimizer=half_held)),
    "axis-of-the-units": ("normalisation-misuse", lambda: recipe(network=faulty.SoftmaxOverSamples)),
    "batch-first": (
        "batch-leak",
        lambda: adam(rows_of_digits(), faulty.TakesSamplesForTime, epochs=1),
    ),
    "guarded-arithmetic": ("unstable-arithmetic", lambda: recipe(network=faulty.RootOfZero, epochs=1)),
    "quiet-evaluation": ("train-eval-gap", lambda: recipe(network=faulty.DropoutStaysOn)),
    "faster-running-statistics": (
        "train-eval-gap",
        of(architecture, "train-eval-gap", "statistics that lag behind"),
    ),
    "layer-norm-for-batch-norm": (
        "normalisation-misuse",
        of(architecture, "normalisation-misuse", "batches of two"),
    ),
    "batches-of-sixteen": (
        "normalisation-misuse",
        of(architecture, "normalisation-misuse", "batches of two"),
    ),
    "wider-layers": ("capacity-too-small", of(architecture, "capacity-too-small", "two hidden units")),
    "narrower-layers": (
        "overfit-capacity",
        of(generalisation, "overfit-capacity", "64 units for a straight line"),
    ),
    "less-dropout": (
        "regularisation-too-strong",
        of(settings, "regularisation-too-strong", "dropout of 0.9"),
    ),
    "no-label-smoothing": (
        "regularisation-too-strong",
        of(settings, "regularisation-too-strong", "smoothing of 0.9"),
    ),
    "optimizer-defaults": ("optimizer-misuse", lambda: adam(options={"betas": (0.9, 0.1)})),
    "no-clipping": ("optimizer-misuse", lambda: recipe(clip=1e-6)),
    "constant-rate": ("schedule-mismatch", of(settings, "schedule-mismatch", "zero after a tenth")),
    "full-precision": ("low-precision", lambda: recipe(network=settings.Overflows, precision="fp16")),
    "batches-for-more-updates": (
        "batch-size",
        lambda: recipe(batch_size=600, epochs=12),
    ),
    "no-augmentation": (
        "destructive-augmentation",
        of(generalisation, "destructive-augmentation", "pixels mixed"),
    ),
    "blank-the-shortcut": (
        "overfit-situation",
        of(generalisation, "overfit-situation", "a mark that holds in training only"),
    ),
    "drop-suspicious-samples": ("label-noise", of(labels, "label-noise", "one in eight, in training alone")),
    "drop-copies": ("duplicates", of(copies, "duplicates", "a third is copies")),
    "drop-outliers": ("outlier-batch", of(parts, "outlier-batch", "three targets of 300")),
    "without-the-feature": ("leakage", of(copies, "leakage", "a column that is the class")),
    "fill-coded-inputs": ("bad-values", coded),
    "without-the-shared": ("leakage", of(copies, "leakage", "30 samples in both parts")),
    "no-normalisation-of-one": (
        "normalisation-misuse",
        of(architecture, "normalisation-misuse", "a layer normalisation of one unit"),
    ),
    "autograd-backward": ("wrong-backward", lambda: recipe(network=faulty.WrongBackward)),
    "targets-to-their-inputs": ("label-misalignment", shifted_in_training),
    "nothing-overwritten": ("ignores-input", lambda: recipe(network=faulty.Overwrites)),
    "gate-open": ("ignores-input", lambda: recipe(network=faulty.Blind)),
    "the-state-before-the-padding": (
        "padding-before-the-state",
        lambda: adam(sequences.reviews(), sequences.Reads, lr=0.02, epochs=12),
    ),
    "mark-the-positions": (
        "order-unseen",
        lambda: adam(sequences.which_half(), sequences.Attends, epochs=2),
    ),
    "every-position": ("ignores-input", lambda: adam(rows_of_digits(), faulty.ReadsOneStep, epochs=1)),
    "features-kept-apart": (
        "less-than-simple",
        lambda: adam(digits_data(900), faulty.PooledToOne, epochs=8),
    ),
    "orthogonal-recurrence": (
        "growing-recurrence",
        lambda: adam(rows_of_digits(), faulty.GrowingStates, epochs=1),
    ),
    "samples-stay-apart": ("batch-leak", lambda: recipe(network=faulty.MixedByReshape)),
    "a-hidden-layer": ("linear-network", lambda: adam(circles(), one_layer, epochs=20)),
    "prepare-training-alike": ("split-drift", of(parts, "split-drift", "validation in 0 to 255")),
}
# What is found in the data themselves is found in them also when the network no longer reads it.
SETTLED_ELSEWHERE = {"without-the-feature", "fill-coded-inputs", "blank-the-shortcut"}


def found_in(check, made):
    asked = CHECKS[check]
    evidence = gather(made, [asked])
    return evidence[0], tuple(f for f in examine(evidence, [asked]) if isinstance(f, Finding))


def proposed(name, check, made):
    evidence, found = found_in(check, made)
    return list(edits_of(IDEAS[name], made, Situation(evidence, found)))


@pytest.mark.parametrize("name", REPAIRS)
def test_it_proposes_what_settles_the_finding(name):
    check, make = REPAIRS[name]
    made = make()
    edits = proposed(name, check, made)
    assert [edit.attribute for edit in edits] == [IDEAS[name].attribute] * len(edits) != []
    edit = from_json(to_json(edits[0]), Edit)
    assert edit == edits[0] and edit.label
    changed = made.with_edits(edit)
    assert changed.fingerprint != made.fingerprint
    if name in SETTLED_ELSEWHERE:
        run = value_of(train(changed, 0, clocks=CLOCKS))
        assert np.isfinite(run.scores["val"])
    else:
        assert found_in(check, changed)[1] == ()


@pytest.mark.parametrize("name", REPAIRS)
def test_it_keeps_silent_where_nothing_was_found(name):
    made = recipe(digits_data(200), Convolutional, epochs=1)
    evidence = gather(made, [], run=False)[0]
    assert list(edits_of(IDEAS[name], made, Situation(evidence, ()))) == []


@pytest.mark.parametrize("name", REPAIRS)
def test_its_finding_names_it_or_it_names_the_cause(name):
    check, make = REPAIRS[name]
    found = found_in(check, make())[1]
    causes = {f.cause for f in found} | {cause for f in found for cause in f.also}
    assert name in {idea for f in found for idea in f.ideas} or causes & set(IDEAS[name].addresses)


@pytest.mark.parametrize(
    ("network", "answers"),
    [
        (faulty.ReadsOneStep, ["the mean over all positions", "the last position"]),
        (Recurrent, ["the mean over all positions", "the largest over all positions"]),
        (faulty.OneStepOnly, ["all positions, not a slice"]),
    ],
)
def test_which_other_positions_are_read_depends_on_those_that_are(network, answers):
    made = adam(rows_of_digits(), network, epochs=1)
    evidence = gather(made, [], run=False)[0]
    situation = Situation(evidence, (Finding("ignores-input"),))
    labels = [edit.label for edit in edits_of(IDEAS["every-position"], made, situation)]
    assert labels[: len(answers)] == answers


def test_the_line_that_is_to_change_goes_with_the_edit():
    (edit,) = proposed("nothing-overwritten", "ignores-input", recipe(network=faulty.Overwrites))
    file, line = faulty.line_of(faulty.Overwrites)
    (change,) = changes_of(recipe(network=faulty.Overwrites), (edit,))
    assert (change.file, change.line) == (shown(file), line)


def test_a_frozen_norm_is_kept_still(tmp_path):
    torch.save(architecture.normalised().state_dict(), tmp_path / "weights.pt")
    made = recipe(network=architecture.frozen_norm(), start=tmp_path / "weights.pt")
    edits = proposed("still-frozen-statistics", "frozen-but-moving", made)
    assert len(edits) == 1
    assert found_in("frozen-but-moving", made.with_edits(edits[0]))[1] == ()


def test_gradients_turned_off_in_forward_are_turned_on():
    made = recipe(network=faulty.NoGrad)
    edits = proposed("keep-the-gradient", "untrained-parameters", made)
    assert [edit.kind for edit in edits] == ["gradients-on"]
    assert found_in("untrained-parameters", made.with_edits(edits[0]))[1] == ()


@pytest.mark.parametrize("drift", ["validation inverted", "other shares of the classes"])
def test_parts_that_differ_in_more_than_their_scale_are_not_made_alike(drift):
    assert proposed("prepare-training-alike", "split-drift", of(parts, "split-drift", drift)()) == []


def test_where_test_inputs_are_as_training_s_validation_is_the_odd_one():
    x, y = digits_data(600).train
    data = nw.Data(train=(x[:300], y[:300]), val=(x[300:450] * 255, y[300:450]), test=(x[450:], y[450:]))
    assert proposed("prepare-training-alike", "split-drift", recipe(data)) == []


def test_dropout_before_a_norm_goes():
    made = recipe(network=architecture.drops_before_norm())
    evidence = gather(made, [], run=False)[0]
    finding = Finding("normalisation-misuse", ideas=("no-dropout",))
    edits = list(edits_of(IDEAS["no-dropout"], made, Situation(evidence, (finding,))))
    assert [made.with_edits(edit).build(0)[3].p for edit in edits] == [0.0]
