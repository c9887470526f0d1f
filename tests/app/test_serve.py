"""netwright serve: a real server, a real process that trains, a real socket."""

import os
import signal
import urllib.error
import urllib.request

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app.serving import Page, assert_as_never_stopped, recipe_file, served

pytestmark = pytest.mark.slow


def test_paused_stepped_gone_back_and_resumed_it_comes_to_the_same_bits(tmp_path):
    path = recipe_file(tmp_path, epochs=5)
    with served(path, "--paused", "--device", "cpu") as server, server.socket() as socket:
        page = Page(socket)
        first = page.until("page")["page"]
        assert first["live"]["layers"] == ["0", "1", "2", "3", "4", "5"]
        page.state("paused", step=0)
        for step in (1, 2, 3):
            page.command("step")
            assert page.until("column")["step"] == step
            page.state("paused", step=step)
        page.command("resume")
        kept = page.until("state", lambda m: len(m["checkpoints"]) > 1)["checkpoints"]
        assert kept[0] == 0
        page.command("rewind", epoch=kept[1])
        page.state("paused", epoch=kept[1])
        page.command("resume")
        page.state("ended", epoch=5)
        page.had_or_gets("moment", lambda m: m["moment"]["label"] == "epoch 5")
        page.command("rewind", epoch=kept[1])  # also what has ended can be gone back in
        page.state("paused", epoch=kept[1])
        page.command("step")
        page.state("paused", epoch=kept[1] + 1)
    assert_as_never_stopped(path, 5)


def test_a_process_that_is_killed_goes_on_from_what_was_kept(tmp_path):
    path = recipe_file(tmp_path, epochs=40)
    with served(path, "--paused", "--device", "cpu") as server, server.socket() as socket:
        page = Page(socket)
        page.state("paused", step=0)
        page.command("step")
        page.state("paused", step=1)
        os.kill(server.trainers[0], signal.SIGKILL)  # while it is paused
        page.until("state", lambda m: "signal 9" in m["message"])
        page.command("resume")
        page.until("state", lambda m: m["state"] == "running" and m["epoch"] >= 2)
        os.kill(server.trainers[0], signal.SIGKILL)  # while it runs
        page.until("state", lambda m: "signal 9" in m["message"])
        page.command("resume")
        page.state("ended", epoch=40)
    assert_as_never_stopped(path, 40)


def test_ctrl_c_leaves_a_journal_that_goes_on(tmp_path):
    path = recipe_file(tmp_path, epochs=300)
    with served(path, "--device", "cpu") as server, server.socket() as socket:
        page = Page(socket)
        page.until("state", lambda m: m["epoch"] >= 3)
        assert server.stop() == 130
    with served(path, "--device", "cpu", "--paused") as server, server.socket() as socket:
        page = Page(socket)
        page.until("page")
        assert page.until("column")["step"] == 1  # what was measured before is there
        at = page.state("paused")
        assert at["step"] > 3 * 14 and at["epoch"] >= 3
        page.command("rewind", epoch=0)
        page.state("paused", epoch=0, step=0)


def test_a_change_of_an_input_is_answered_with_what_it_changes(tmp_path):
    path = recipe_file(tmp_path, epochs=30)
    with served(path, "--device", "cpu") as server, server.socket() as socket:
        page = Page(socket)
        inputs = page.until("page")["page"]["atlas"]["inputs"]
        assert inputs["count"] == 90 and inputs["thumbnails"]["width"] == 8
        page.state("ended")
        page.send(type="edit", input=3, values=[1.0] * 32 + [0.0] * 32)
        edited = page.until("edited")
        assert len(edited["before"]["belief"]) == len(edited["after"]["belief"]) == 6
        assert edited["before"]["belief"] != edited["after"]["belief"]
        page.send(type="edit", input=3, values=[1.0])
        assert page.until("error")["message"] == "1 values for an input of 64"


def test_a_network_that_raises_is_said_and_can_be_looked_at(tmp_path):
    text = """
import netwright as nw, torch
from torch import nn

class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.calls = nn.Linear(4, 2), 0
    def forward(self, x):
        self.calls += self.training
        if self.calls > 20:
            raise ValueError("no more")
        return self.layer(x)

x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
recipe = nw.Recipe(nw.Data.arrays(x, (x[:, 0] > 0).long()), Fails,
                   nw.Training(loss="cross_entropy", optimizer="sgd", lr=0.1, batch_size=20, epochs=5))
"""
    path = recipe_file(tmp_path, 5, text)
    with served(path, "--device", "cpu") as server, server.socket() as socket:
        failed = Page(socket).state("failed")
        assert "raised ValueError: no more" in failed["message"] and failed["checkpoints"]


def test_without_the_token_or_from_another_site_nothing_is_given(tmp_path):
    path = recipe_file(tmp_path, epochs=2)
    with served(path, "--paused", "--device", "cpu") as server:

        def status(address, **headers):
            try:
                with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
                    return answer.status
            except urllib.error.HTTPError as refused:
                return refused.code

        bare = server.address.partition("?")[0]
        assert status(server.address) == 200
        assert status(bare) == status(f"{bare}?token=wrong") == 403
        assert status(server.address, Host="evil.example") == 403
        assert status(server.address, Origin="http://evil.example") == 403
        live = server.address.replace("http://", "ws://").replace("/?", "/live?")
        for asked, headers in (
            (live.partition("?")[0], {}),
            (f"{live}x", {}),
            (live, {"Origin": "http://evil.example"}),
            (live, {"Origin": "null"}),
        ):
            with pytest.raises(InvalidStatus, match="403"):
                connect(asked, additional_headers=headers)
        with server.socket(additional_headers={"Origin": bare.rstrip("/")}) as socket:
            assert Page(socket).until("page")
