"""The results that users hold: the values, with a notebook's page and a JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from netwright import values
from netwright.atlas.arrays import array
from netwright.atlas.labelled import Labelled, long_table


class _Shown:
    def to_json(self) -> Any:
        """The document of the interface."""
        return values.to_json(self)

    def __str__(self) -> str:
        """What the terminal shows, without colour."""
        import io

        from rich.console import Console

        from netwright.app.terminal import renderable

        out = io.StringIO()
        Console(file=out, width=100, no_color=True, highlight=False).print(renderable(self))
        return out.getvalue()

    __repr__ = __str__


@frozen(repr=False, str=False)
class ImproveResult(_Shown, values.ImproveResult):
    """What `improve` returns; `attributes` are those of the recipe as the user wrote it, `look` is the
    network as it was and as it is now, with validation inputs."""

    attributes: values.AttributesResult | None = field(default=None, kw_only=True)
    look: values.LookResult | None = field(default=None, kw_only=True)

    def to_json(self) -> Any:
        document = values.to_json(attrs.evolve(self, attributes=None, look=None))
        for name in ("attributes", "look"):
            document.pop(name, None)
        return document

    def _repr_html_(self) -> str:
        from netwright.views.report import frame, report_html

        return frame(report_html(self, self.attributes, self.look), 900)


@frozen(repr=False, str=False)
class DiagnoseResult(_Shown, values.DiagnoseResult):
    """What `diagnose` returns."""

    def _repr_html_(self) -> str:
        from netwright.views.report import diagnose_html, frame

        return frame(diagnose_html(self), 600)


@frozen(repr=False, str=False)
class ProbeResult(_Shown, values.ProbeResult):
    """What a single probe returns."""


@frozen(repr=False, str=False)
class ScanResult(_Shown, values.ScanResult):
    """What `scan` returns."""


@frozen(repr=False, str=False)
class LookResult(_Shown, values.LookResult):
    """What `look` returns: the listing, and the atlas where inputs were looked at."""

    def to_json(self) -> Any:
        """The document of the interface; of a result that shows one input, layer or unit, that one in place
        of the atlas."""
        document = values.to_json(self)
        picked = self._picked_look()
        if picked is not None:
            del document["atlas"]
            document |= {name: values.to_json(look) for name, look in picked.items()}
        return document

    def _picked_look(self) -> dict[str, Any] | None:
        atlas, picked = self.atlas, self.picked
        if atlas is None:
            return None
        if picked.layer is not None and picked.unit is not None:
            return {"unit": values.unit_look(atlas, picked.layer, picked.unit)}
        if picked.layer is not None:
            return {"layer": values.layer_look(atlas, picked.layer)}
        if picked.input is not None and picked.versus is not None:
            return {"difference": values.difference(atlas, picked.input, picked.versus)}
        if picked.input is not None:
            return {"input": values.input_look(atlas, picked.input)}
        return None

    def __getitem__(self, statistic: str) -> Labelled:
        """A statistic of the atlas as a labelled array (layers, inputs): `result["norm"]`."""
        atlas = self._atlas()
        grid = atlas.now.grid(statistic)
        if grid is None:
            names = ", ".join(g.name for g in atlas.now.grids)
            raise values.UserError(f"look: no statistic {statistic!r}; there are {names}")
        return Labelled.of(atlas, grid)

    def _atlas(self) -> values.Atlas:
        if self.atlas is None:
            raise values.UserError("look: no inputs were looked at; nw.look(recipe, 'val') does")
        return self.atlas

    def pick(self, **picked: str | int | None) -> LookResult:
        """The same, showing `input=` (and `versus=` another), `layer=` (and `unit=`), or `value=`."""
        return attrs.evolve(self, picked=values.picked_of(self._atlas(), picked))

    def outputs(self, layer: str) -> Any:
        """The outputs (N, ...) of a layer that was named in `raw`."""
        if layer not in self.raw:
            raise values.UserError(f"look: the outputs of {layer!r} were not kept; name it in raw=")
        return array(self.raw[layer])

    def to_dataframe(self) -> Any:
        """A pandas table: a line for every layer and input, a column for every statistic."""
        return long_table(self._atlas())

    def save(self, path: str | Path) -> None:
        """The atlas in a file, to be opened without the model: `nw.look("digits.atlas")`."""
        from netwright.atlas import SUFFIX, save

        if not str(path).endswith(SUFFIX):
            raise values.UserError(f"{path}: call it by the ending {SUFFIX}, by which look knows it again")
        save(self._atlas(), Path(path), {"name": self.name, "run": self.run})

    def html(self) -> str:
        """The page, to be kept as a file."""
        from netwright.views.report import look_html

        return look_html(self)

    def png(self) -> bytes:
        """What the terminal shows, as a picture: the map, one input, one layer, or the table."""
        from netwright.views import pictures

        atlas, picked = self.atlas, self.picked
        if atlas is not None and picked.unit is None and picked.versus is None:
            if picked.layer is not None:
                return pictures.layer_png(values.layer_look(atlas, picked.layer), atlas)
            if picked.input is not None:
                return pictures.input_png(values.input_look(atlas, picked.input), atlas)
            return pictures.atlas_png(atlas, picked.value)
        from netwright.app.terminal import renderable

        return pictures.text_png(renderable(self))

    def _repr_html_(self) -> str:
        from netwright.views.report import frame, look_html

        return frame(look_html(self), 900 if self.atlas is not None else 600)


@frozen(repr=False, str=False)
class AttributesResult(_Shown, values.AttributesResult):
    """What `attributes` returns."""


@frozen(repr=False, str=False)
class PortResult(_Shown, values.Ports):
    """What `port` returns: of one network its document, of several a list of them."""

    def to_json(self) -> Any:
        documents = [values.to_json(network) for network in self.networks]
        return documents[0] if len(documents) == 1 else {"networks": documents}

    @property
    def targets(self) -> tuple[values.TargetPort, ...]:
        """Every target of every network."""
        return tuple(target for network in self.networks for target in network.targets)

    def __getitem__(self, target: str) -> values.TargetPort:
        """The first network's port to a target."""
        found = next((one for one in self.targets if one.target == target), None)
        if found is None:
            raise values.UserError(f"port: it was not ported to {target!r}")
        return found

    def html(self) -> str:
        """The page, to be kept as a file."""
        from netwright.views.port_page import port_html

        return port_html(self)

    def _repr_html_(self) -> str:
        from netwright.views.port_page import port_html
        from netwright.views.report import frame

        return frame(port_html(self), 600)
