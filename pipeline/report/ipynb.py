"""A notebook as Jupyter reads it (nbformat 4.5), with what its cells showed where they were run. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipeline.report.percent import Cell
from pipeline.report.running import HTML, MARKDOWN, TEXT, VEGA_LITE, Output, Ran

_INSTEAD = {VEGA_LITE: "a chart", MARKDOWN: "text", HTML: "a table"}


def written(notebook: Sequence[Ran | Cell]) -> str:
    """The JSON of an .ipynb."""
    ran = [each if isinstance(each, Ran) else Ran(each) for each in notebook]
    code = 0
    cells: list[dict[str, Any]] = []
    for number, each in enumerate(ran):
        cell: dict[str, Any] = {
            "id": f"cell-{number}",
            "cell_type": each.cell.kind,
            "metadata": {"tags": list(each.cell.tags)} if each.cell.tags else {},
            "source": each.cell.text,
        }
        if each.cell.kind == "code":
            code += 1
            count = code if any(one.outputs for one in ran) else None
            cell |= {"execution_count": count, "outputs": [_output(one, count) for one in each.outputs]}
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    document = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _output(output: Output, count: int | None) -> dict[str, Any]:
    if output.kind == TEXT:
        return {"output_type": "stream", "name": "stdout", "text": output.data}
    data = {output.kind: output.data, TEXT: _INSTEAD[output.kind]}
    return {"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data}
