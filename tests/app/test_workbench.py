"""The parts of the live page, each alone."""

import time
from threading import Event

import numpy as np
import pytest
import torch

import netwright as nw
from conftest import digits_data, mlp, table_data, table_mlp, training
from netwright import values
from netwright.app.atlas import pinned
from netwright.app.workbench.editing import Editor
from netwright.app.workbench.following import BEHIND, Following, Outgoing
from netwright.app.workbench.keeping import KEPT, Keeping, where
from netwright.app.workbench.outbox import Outbox
from netwright.app.workbench.pace import Allowance, Pace, StepTimes
from netwright.app.workbench.server import is_ours
from netwright.app.workbench.steering import Commands, LiveSteering
from netwright.journal import Journal
from netwright.runs import Clocks, Halted, train
from netwright.values import UserError
from netwright.views.live import live_html
from netwright.views.page import page


def test_what_costs_more_is_done_less_often_and_nothing_more_often_than_its_rate():
    pace = Pace(0.05, rate=10)
    assert pace.due(0.0)
    pace.spent(0.001, 1.0)
    assert not pace.due(1.09) and pace.due(1.11)
    pace.spent(0.1, 2.0)
    assert not pace.due(3.9) and pace.due(4.1)


def test_over_a_minute_columns_take_no_more_than_their_share():
    pace, now, spent = Pace(0.035, rate=10), 0.0, 0.0
    while now < 60:
        now += 0.003
        if pace.due(now):
            now += 0.004
            spent += 0.004
            pace.spent(0.004, now)
    assert 0.03 < spent / now <= 0.0351


def test_what_is_welcome_early_is_done_at_once_and_later_as_the_time_allows():
    allowance = Allowance(0.01, 0.05, 100.0)
    done = []
    for epoch in range(3000):
        now = 100.0 + 0.02 * epoch
        if allowance.due(now):
            allowance.spent(0.005)
            done.append(epoch)
    assert done[:10] == list(range(10))
    assert 0.05 < 0.005 * len(done) <= 0.05 + 0.01 * 60 + 0.005


def test_the_cost_of_a_column_is_what_its_step_takes_beyond_a_plain_one():
    times = StepTimes()
    assert times.beyond(0.5) == 0.5
    for _ in range(100):
        times.plain(0.1)
    assert times.beyond(0.5) == pytest.approx(0.4)
    assert times.beyond(0.05) == 0.0


class Everything:
    """Keeps every epoch, and stops after one."""

    def __init__(self, keeping, start=None):
        self.keeping, self.start = keeping, start

    def taps(self, step):
        return False

    def stepped(self, at):
        return True

    def between(self, at):
        if self.keeping.keeps(at.epochs_done):
            self.keeping.keep(at)
        return True


def trained(recipe, steering, **options):
    for _ in train(recipe, 0, clocks=Clocks(lambda: 0.0, lambda: 0.0), steering=steering, **options):
        pass


def test_of_a_long_training_some_thirty_epochs_stay_the_first_and_the_last_among_them(tmp_path):
    recipe = nw.Recipe(digits_data(60), mlp, training(batch_size=60))
    keeping = Keeping(tmp_path, 1, 75)
    trained(recipe, Everything(keeping), epochs=75)
    kept = keeping.kept()
    assert kept[0] == 0 and kept[-1] == 75 and KEPT / 2 <= len(kept) <= KEPT + 2
    assert kept[:-1] == tuple(range(0, 75, 4))
    assert where(keeping.latest) == where(keeping.of_epoch(75))
    assert keeping.keeps(76) and not keeping.keeps(2)


def test_a_state_that_cannot_be_read_is_none(tmp_path):
    (tmp_path / "latest.pt").write_bytes(b"no state")
    assert where(tmp_path / "latest.pt") is None and where(tmp_path / "gone.pt") is None


def column(step):
    return {"type": "column", "step": step}


def test_a_slow_page_gets_fewer_columns_the_newest_always_and_the_last_state_alone():
    outgoing = Outgoing()
    for n in range(1, 1001):
        outgoing.push(n, [column(n), {"type": "state", "step": n}])
    outgoing.push(1001, [{"type": "moment"}])
    sent = []
    while (message := outgoing.pop()) is not None:
        sent.append(message)
    columns = [m["step"] for m in sent if m["type"] == "column"]
    assert columns == sorted(columns) and columns[-1] == 1000 and BEHIND / 2 <= len(columns) <= BEHIND
    assert [m["step"] for m in sent if m["type"] == "state"] == [1000]
    assert sent[-1] == {"type": "moment"}


def test_a_fast_page_gets_every_column_and_nothing_twice():
    outgoing, sent = Outgoing(), []
    outgoing.push(1, [column(1)])
    outgoing.push(2, [column(2)])
    outgoing.known(1)
    for n in range(3, 200):
        outgoing.push(n, [column(n)])
        while (message := outgoing.pop()) is not None:
            sent.append(message["step"])
    assert sent == list(range(2, 200))


@pytest.fixture(scope="module")
def digits_pinned():
    recipe = nw.Recipe(digits_data(300), mlp, training())
    return recipe, pinned(recipe, "cpu")


def test_the_same_events_make_the_page_of_one_that_was_there_and_of_one_that_comes_later(digits_pinned):
    recipe, some = digits_pinned
    base = some.glance(recipe.build(0), "untrained")
    following = Following(base, ["1", "2"], (), 6, lambda artifact: None)
    numbers = {"std": (1.0, 2.0), "zeros": (None, float("nan"))}
    told = [
        *following.take(1, values.ColumnMeasured("k", 1, 1, 2.5, numbers, ("2", "1"))),
        *following.take(2, values.ColumnMeasured("k", 2, 1, float("nan"), numbers)),
        *following.take(3, values.StateChanged("k", "paused", 1, 2, (0,), "")),
        *following.take(4, values.RunStarted("k", "", 0, 6)),
    ]
    assert told == following.history()
    assert told[0]["values"]["std"] == [2.0, 1.0]  # in the order of the page
    assert told[1]["loss"] is None and told[1]["values"]["zeros"] == [None, None]
    [dead] = following.died("signal 9")
    assert dead["state"] == "paused" and "signal 9" in dead["message"] and dead["checkpoints"] == [0]


def editor_of(recipe, some, tmp_path):
    rows = some.glance(recipe.build(0), "untrained").rows
    return Editor(recipe, some, rows, Keeping(tmp_path, 1, 6), 0)


def test_what_is_not_drawn_on_keeps_every_bit_and_what_is_comes_in_the_scale_of_the_input(
    digits_pinned, tmp_path
):
    recipe, some = digits_pinned
    editor = editor_of(recipe, some, tmp_path)
    image = some.material.samples.inputs[5]
    shown = ((image - image.min()) / (image.max() - image.min()) * 255).round() / 255
    same = editor.both(5, [round(v, 4) for v in shown.flatten().tolist()])
    assert torch.equal(same[0], image) and torch.equal(same[1], image)
    drawn = shown.flatten().tolist()
    drawn[:8] = [0.5] * 8
    changed = editor.both(5, drawn)[1]
    assert torch.equal(changed[:, 1:], image[:, 1:])
    assert torch.allclose(changed[:, 0], (image.max() + image.min()) / 2)
    assert editor.note() is None


def test_a_picture_that_is_shown_smaller_is_drawn_on_in_patches_and_that_is_said(tmp_path):
    images = torch.rand(40, 3, 64, 48, generator=torch.Generator().manual_seed(0)) * 255
    recipe = nw.Recipe(
        nw.Data.arrays(images, torch.arange(40) % 2),
        lambda: nw_network(3 * 64 * 48),
        training(),
    )
    some = pinned(recipe, "cpu")
    editor = editor_of(recipe, some, tmp_path)
    assert "32 × 24 of 64 × 48" in editor.note()
    image = some.material.samples.inputs[0]
    thumbnail = some.glance(recipe.build(0), "now").inputs.thumbnails
    shown = np.frombuffer(thumbnail.data, np.uint8).reshape(-1, 32, 24, 3)[0] / 255
    shown = shown.copy()
    shown[4, 7] = 1.0  # one cell of the small picture
    changed = editor.both(0, shown.flatten().tolist())[1]
    assert torch.equal(*(t.masked_fill(patch(t), 0) for t in (changed, image)))
    assert len(changed[patch(changed)].unique()) == 1


def nw_network(width):
    return mlp(width, 2)


def patch(image):
    where_ = torch.zeros_like(image, dtype=torch.bool)
    where_[:, 8:10, 14:16] = True
    return where_


def test_the_numbers_of_a_table_are_changed_as_they_are(tmp_path):
    recipe = nw.Recipe(table_data(), table_mlp, training())
    some = pinned(recipe, "cpu")
    editor = editor_of(recipe, some, tmp_path)
    given = list(editor.values()[2])
    given[4] = 9.5
    both = editor.both(2, given)
    assert both[1][4] == 9.5 and torch.allclose(both[0], some.material.samples.inputs[2])
    answer = editor.answer(2, given)
    assert answer["input"] == 2 and len(answer["after"]["belief"]) == 4
    with pytest.raises(UserError, match="2 values for an input of 30"):
        editor.answer(2, [1.0, 2.0])
    with pytest.raises(UserError, match="no input 1000"):
        editor.answer(1000, given)


def test_an_answer_is_of_the_state_that_was_kept_last(digits_pinned, tmp_path):
    recipe, some = digits_pinned
    editor = editor_of(recipe, some, tmp_path)
    drawn = [0.5] * 64
    untrained = editor.answer(0, drawn)
    trained(recipe, Everything(Keeping(tmp_path, 1, 6)))
    after = editor.answer(0, drawn)
    assert untrained["before"]["norm"] != after["before"]["norm"]
    assert editor.answer(0, drawn) == after


def test_a_watched_training_changes_no_bit_and_halts_where_it_is_told(tmp_path):
    recipe = nw.Recipe(digits_data(200), mlp, training(epochs=2))

    class Stops(Everything):
        def stepped(self, at):
            return at.steps_done < 3

    with pytest.raises(Halted):
        trained(recipe, Stops(Keeping(tmp_path, 1, 2)))


def test_one_step_is_one_step_also_where_an_epoch_ends(tmp_path):
    recipe = nw.Recipe(digits_data(60), mlp, training(batch_size=20, epochs=3))
    steps_an_epoch, where_it_waits = 3, []
    with Journal.open(tmp_path) as journal:
        session = journal.begin("serve", "digits", recipe.fingerprint, {}, "2026-01-01T00:00:00Z")
        keeping, left = Keeping(tmp_path, session, 3), Event()

        def wait(seconds):
            (*_, (_, state)) = (
                e for e in journal.events_after(session, 0) if isinstance(e[1], values.StateChanged)
            )
            where_it_waits.append(state.step)
            journal.command(session, {"command": "step"}, "2026-01-01T00:00:01Z")
            return False

        steering = LiveSteering(
            "run", None, keeping, Commands(journal, session), Outbox(journal, session, time.perf_counter),
            clock=time.perf_counter, wait=wait, left=left, paused=True,
        )  # fmt: skip
        trained(recipe, steering)
    assert where_it_waits == list(range(3 * steps_an_epoch + 1))


def test_what_serve_needs_and_is_not_installed_is_named(monkeypatch):
    from netwright.app.workbench import serving

    monkeypatch.setattr(serving, "NEEDS", ("starlette", "no_such_server"))
    with pytest.raises(UserError, match=r"no_such_server is not installed; pip install 'netwright\[serve\]'"):
        serving.serve("recipe.py", on_address=print)


def test_a_port_that_is_taken_is_said():
    from netwright.app.workbench.serving import _bound

    with _bound("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: cannot be served on"):
            _bound("127.0.0.1", port)


@pytest.mark.parametrize(
    ("given", "host", "ours"),
    [
        ("127.0.0.1:80", "127.0.0.1", True),
        ("localhost:80", "127.0.0.1", True),
        ("[::1]:80", "127.0.0.1", True),
        ("evil.example:80", "127.0.0.1", False),
        ("192.168.0.7:80", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("192.168.0.7:80", "0.0.0.0", True),
        ("evil.example", "0.0.0.0", False),
        ("machine.lan:80", "machine.lan", True),
    ],
)
def test_only_names_of_this_server_reach_it(given, host, ours):
    assert is_ours(given, host) is ours


def test_the_page_runs_its_own_script_alone_and_asks_its_own_socket_alone():
    document = page("<script>x</script>", "r", notes=("</script><script>alert(1)</script>",))
    html = live_html(document, "127.0.0.1:8080")
    assert "connect-src ws://127.0.0.1:8080/live;" in html
    assert "script-src &#39;sha256-" in html and "unsafe-eval" not in html
    assert html.count("<script") == 2 and "alert(1)</script>" not in html
