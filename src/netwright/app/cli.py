"""The command line. Only typer is imported before a verb runs, so that `--help` answers at once."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from netwright.app.surface import SEVERITIES
from netwright.app.surface import surface as surface_of
from netwright.values.warned import each_warning_once

app = typer.Typer(
    name="netwright",
    help=(
        "A development environment for neural networks: find what blocks learning, try what helps, prove it."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="FILE, FILE:NAME or package.module:NAME")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
Seed = Annotated[int, typer.Option(help="Base of every random stream but the split's.")]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda or cuda:1; cuda where there is one unless given.")
]
JournalAt = Annotated[
    str | None, typer.Option("--journal", metavar="FOLDER", help=".netwright beside the recipe unless given.")
]
With = Annotated[
    list[str] | None, typer.Option("--with", metavar="FILE", help="A file with more checks, ideas or edits.")
]
Mute = Annotated[
    list[str] | None, typer.Option(metavar="CHECK=REASON", help="Leave out a check, with the reason why.")
]
FailOn = Annotated[
    str,
    typer.Option(
        metavar="SEVERITY", help="Exit 1 where a finding is this severe: note, warning, error, or never."
    ),
]
BudgetText = Annotated[str, typer.Option(help="90s, 2m, 1h, 200 epochs or 2000 steps.")]
MaybeBudget = Annotated[
    str | None,
    typer.Option(help="90s, 2m, 200 epochs or 2000 steps; else as 30 trainings take, 1 to 10 minutes."),
]


@app.command()
def improve(
    recipe: RecipeName,
    budget: BudgetText = "2m",
    plan: Annotated[bool, typer.Option("--plan", help="Show what the budget buys and stop there.")] = False,
    no_test: Annotated[bool, typer.Option("--no-test", help="Keep the test part sealed.")] = False,
    json_: AsJson = False,
    seed: Seed = 0,
    device: Device = None,
    journal: JournalAt = None,
    with_: With = None,
    mute: Mute = None,
    fail_on: FailOn = "never",
) -> None:
    """Turn a network that fails into one that works: scan, diagnose, try, keep, report."""
    with surface_of(json_) as surface:
        _severity(fail_on)
        from netwright.app import verbs

        common = {
            "budget": budget, "seed": seed, "device": device, "journal": journal,
            "extensions": tuple(with_ or ()),
        }  # fmt: skip
        if plan:
            made = surface.run(lambda show: verbs.plan(recipe, **common, on_event=show))  # type: ignore[arg-type]
            surface.say(made, made.sentence)
            return
        muted = _muted(mute)
        result = surface.run(
            lambda show: verbs.improve(recipe, **common, test=not no_test, muted=muted, on_event=show)  # type: ignore[arg-type]
        )
        surface.show(result)
        surface.leave(result.findings, fail_on)


@app.command()
def diagnose(
    recipe: RecipeName,
    budget: MaybeBudget = None,
    json_: AsJson = False,
    seed: Seed = 0,
    device: Device = None,
    journal: JournalAt = None,
    with_: With = None,
    mute: Mute = None,
    fail_on: FailOn = "never",
    probe: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make one experiment only, and show its answer.")
    ] = None,
) -> None:
    """Say what blocks learning, or why it overfits, and confirm it by changing that one thing."""
    with surface_of(json_) as surface:
        _severity(fail_on)
        if probe is not None:
            from netwright.app import asking

            surface.show(asking.probe(recipe, probe, seed=seed, device=device, extensions=tuple(with_ or ())))
            return
        from netwright.app import verbs

        muted = _muted(mute)
        result = surface.run(
            lambda show: verbs.diagnose(
                recipe,
                budget=budget,
                seed=seed,
                device=device,
                journal=journal,
                extensions=tuple(with_ or ()),
                muted=muted,
                on_event=show,
            )
        )
        surface.show(result)
        surface.leave(result.findings, fail_on)


@app.command()
def scan(recipe: RecipeName, json_: AsJson = False, with_: With = None) -> None:
    """Show the patterns in the data that help or block training; trains nothing."""
    with surface_of(json_) as surface:
        from netwright.app import verbs

        surface.show(verbs.scan(recipe, extensions=tuple(with_ or ())))


@app.command()
def look(
    recipe: RecipeName,
    weights: Annotated[str | None, typer.Option(metavar="FILE", help="A checkpoint to look at.")] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Load what fits of a checkpoint that does not.")
    ] = False,
    where: Annotated[
        str | None,
        typer.Option(metavar="EXPR", help="Only layers for which it holds, as in 'conv and dead>0.3'."),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="The largest first: parameters, flops, bytes, seconds, dead, …"),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(metavar="N", help="Fold what lies deeper than N levels into its module.")
    ] = None,
    unfold: Annotated[bool, typer.Option("--unfold", help="Show every line, repeated blocks too.")] = False,
    against: Annotated[
        str | None, typer.Option(metavar="RECIPE", help="Another recipe, whose layers are shown beside.")
    ] = None,
    inputs: Annotated[
        bool, typer.Option("--inputs", help="The atlas: every layer with every input of a part.")
    ] = False,
    part: Annotated[str, typer.Option(help="The part of the data: val or train.")] = "val",
    count: Annotated[int, typer.Option(metavar="N", help="Show N inputs at most, spread evenly.")] = 500,
    value: Annotated[
        str | None, typer.Option(metavar="NAME", help="The statistic of the map: belief, norm, zeros, …")
    ] = None,
    input_: Annotated[
        str | None,
        typer.Option("--input", metavar="N", help="An input through all layers, by number or id."),
    ] = None,
    versus: Annotated[
        str | None, typer.Option(metavar="N", help="Another input, against the one of --input.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="One layer over all inputs, with its units.")
    ] = None,
    unit: Annotated[int | None, typer.Option(metavar="N", help="One unit of --layer.")] = None,
    attribution: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="What of an input counts: integrated-gradients, occlusion, …"),
    ] = None,
    before: Annotated[
        bool, typer.Option("--before", help="The untrained network beside, over the same inputs.")
    ] = False,
    epochs: Annotated[
        bool, typer.Option("--epochs", help="Train once, and keep the same inputs at every epoch.")
    ] = False,
    png: Annotated[str | None, typer.Option(metavar="FILE", help="Write what is shown as a picture.")] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the page, which opens from disk.")
    ] = None,
    save: Annotated[
        str | None, typer.Option(metavar="FILE.atlas", help="Keep the atlas, to be opened without the model.")
    ] = None,
    json_: AsJson = False,
    seed: Seed = 0,
    device: Device = None,
    journal: JournalAt = None,
    with_: With = None,
    fail_on: FailOn = "never",
) -> None:
    """List the network, a coloured line a layer; with --inputs, every layer with every input."""
    with surface_of(json_) as surface:
        _severity(fail_on)
        from netwright.app import looking

        picked = {"value": value, "input": input_, "versus": versus, "layer": layer, "unit": unit}
        asked = [inputs, before, epochs, save, attribution, *(v is not None for v in picked.values())]
        followed = tuple(name for name in (input_, versus) if name is not None)
        result = looking.look(
            recipe, part if any(asked) else None, count=count, details=followed or None,
            attribution=attribution, before=before, epochs=epochs, picked=picked, weights=weights,
            partial=partial, seed=seed, device=device, journal=journal, extensions=tuple(with_ or ()),
            where=where, sort=sort, depth=depth, unfold=unfold, against=against,
        )  # fmt: skip
        for path, content in ((png, result.png), (html, result.html)):
            if path is not None:
                looking.written(path, content())
        if save is not None:
            result.save(save)
        surface.show(result)
        surface.leave(result.findings, fail_on)


@app.command()
def attributes(recipe: RecipeName, json_: AsJson = False, with_: With = None) -> None:
    """List every attribute of the recipe with its value and the line that sets it."""
    with surface_of(json_) as surface:
        from netwright.app import verbs

        surface.show(verbs.attributes(recipe, extensions=tuple(with_ or ())))


@app.command()
def port(
    networks: Annotated[
        list[str], typer.Argument(metavar="NETWORK...", help="Recipes; an ONNX file or a Caffe prototxt.")
    ],
    to: Annotated[str, typer.Option(metavar="TARGETS", help="Ids with commas between, or all.")] = "all",
    plan: Annotated[bool, typer.Option("--plan", help="Say what does not fit, and make nothing.")] = False,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help=".netwright/ports beside the recipe unless given.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Weights to port; of a prototxt its caffemodel.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Load what fits of the weights.")] = False,
    inputs: Annotated[int, typer.Option(metavar="N", help="Validation inputs to compare on.")] = 300,
    on: Annotated[
        str | None, typer.Option(metavar="FILE.npz", help="Inputs of an ONNX file or a prototxt, by name.")
    ] = None,
    batch: Annotated[str, typer.Option(metavar="SIZES", help="Batch sizes to time, as in 1,8.")] = "1",
    threads: Annotated[int | None, typer.Option(help="As many as the device has cores.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Of each layer's largest value.")] = None,
    precision: Annotated[
        str, typer.Option(metavar="NAME", help="float32, or int8: quantised after training.")
    ] = "float32",
    device_budget: Annotated[
        str | None, typer.Option(metavar="LIMITS", help="Size and time of one input, as in '2MB,50ms'.")
    ] = None,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Keep the report as a page.")] = None,
    json_: AsJson = False,
    seed: Seed = 0,
    device: Device = None,
    journal: JournalAt = None,
    with_: With = None,
    fail_on: Annotated[
        str, typer.Option(metavar="STATUS", help="Exit 1 where a port differs, is unsupported, or never.")
    ] = "never",
) -> None:
    """The same network in another technology, with proof: parity layer by layer, and where it first
    breaks."""
    with surface_of(json_) as surface:
        from netwright.app import porting

        porting.port_status(fail_on)
        result = surface.run(
            lambda show: porting.port(
                networks if len(networks) > 1 else networks[0],
                on,
                to=to,
                folder=out,
                plan=plan,
                weights=weights,
                partial=partial,
                count=inputs,
                batches=porting.batch_sizes(batch),
                threads=threads,
                tolerance=tolerance,
                precision=precision,
                device_budget=device_budget,
                seed=seed,
                device=device,
                journal=journal,
                extensions=tuple(with_ or ()),
                on_event=show,
            )
        )
        if html is not None:
            porting.written(html, result.html())
        surface.show(result)
        if porting.fails(result, fail_on):
            raise typer.Exit(1)


@app.command()
def serve(
    recipe: RecipeName,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    host: Annotated[
        str, typer.Option(help="Another address than this machine's own to listen on.")
    ] = "127.0.0.1",
    epochs: Annotated[
        int | None, typer.Option(help="Train for so many; as many as the recipe says unless given.")
    ] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Begin without a step.")] = False,
    json_: AsJson = False,
    seed: Seed = 0,
    device: Device = None,
    journal: JournalAt = None,
    with_: With = None,
) -> None:
    """Train, and show it in the browser while it does: pause, step, go back, change an input."""
    with surface_of(json_) as surface:
        from netwright.app.workbench.serving import serve as serving

        def told(address: str, session: int) -> None:
            surface.say({"address": address, "session": session}, address)
            if host not in ("127.0.0.1", "localhost", "::1"):
                print("whoever has this address can steer the training", file=sys.stderr)

        serving(
            recipe, port=port, host=host, seed=seed, epochs=epochs, device=device, journal=journal,
            extensions=tuple(with_ or ()), paused=paused, on_address=told,
        )  # fmt: skip


@app.command()
def journal(
    recipe: RecipeName,
    session: Annotated[int | None, typer.Option(help="Show all events of one session.")] = None,
    json_: AsJson = False,
    journal: JournalAt = None,
) -> None:
    """Show what was done with a recipe before: sessions, or every event of one."""
    with surface_of(json_) as surface:
        from netwright.app import verbs

        surface.listed(verbs.history(recipe, session=session, journal=journal))


def _severity(name: str) -> None:
    """Refuse a severity that there is not, before anything is run."""
    from netwright.values import UserError

    if name not in (*SEVERITIES, "never"):
        raise UserError(f"--fail-on {name}: say note, warning, error or never")


def _muted(pairs: list[str] | None) -> dict[str, str]:
    from netwright.values import UserError

    muted = {}
    for pair in pairs or ():
        check, _, reason = pair.partition("=")
        if not reason:
            raise UserError(f"--mute {pair}: give the reason too, --mute {check}='why'")
        muted[check] = reason
    return muted


def main() -> None:
    """Entry point of the `netwright` command."""
    each_warning_once()
    if "--json" not in sys.argv:
        app()
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        sys.exit(130)
    except Exception as wrong:  # an option that there is not: a document as for any other wrong input
        say = getattr(wrong, "format_message", None)
        if say is None:
            raise
        print(json.dumps({"error": {"kind": "user", "message": say(), "file": None, "line": None}}))
        wrong.show()  # type: ignore[attr-defined]
        sys.exit(2)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
