"""The tools for agents, called by the SDK's own client over standard input and output."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import anyio
import numpy as np
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from PIL import Image
from pycocotools import mask as coco_mask

import cmpc


def test_agent_finds_and_explains(tiny_model_folder: Path, photo: Path, tmp_path: Path) -> None:
    command = ["-m", "cmpc", "mcp", "--model", str(tiny_model_folder), "--device", "cpu"]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("segment", {"photo": str(photo), "expressions": ["the left man", "dog"], "threshold": 0.4}),
        ("segment", {"photo": str(photo), "expressions": ["dog"], "threshold": 1.0, "out": str(tmp_path / "out")}),
        ("explain", {"photo": str(photo), "expression": "the left man"}),
        ("segment", {"photo": "nowhere.jpg", "expressions": ["dog"]}),
        ("explain", {"photo": str(photo), "expression": "?"}),
    ]

    async def ask() -> tuple[set[str], list[Any]]:
        server = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
        with (tmp_path / "log").open("w") as log:
            return await converse(server, log)

    async def converse(server: StdioServerParameters, log: TextIO) -> tuple[set[str], list[Any]]:
        async with stdio_client(server, errlog=log) as streams, ClientSession(*streams) as session:
            await session.initialize()
            tools = {tool.name for tool in (await session.list_tools()).tools}
            return tools, [await session.call_tool(name, arguments) for name, arguments in calls]

    tools, (found, nothing, explained, missing, wordless) = anyio.run(ask)
    assert tools == {"segment", "explain"}
    assert "Traceback" not in (tmp_path / "log").read_text()  # nor when the agent is gone
    told = json.loads(found.content[0].text)["predictions"]
    expected = cmpc.load(tiny_model_folder).predict(["the left man", "dog"], image=photo, threshold=0.4)
    for one, prediction in zip(told, expected, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(one["rle"]).astype(bool), prediction.mask)
    assert picture_in(found.content[1]).width == 140
    assert json.loads(nothing.content[0].text)["predictions"][0]["box"] is None
    assert (tmp_path / "out/photo.1-dog.mask.png").exists()
    assert picture_in(explained.content[0]).format == "PNG"
    assert missing.isError
    assert "nowhere.jpg" in missing.content[0].text
    assert wordless.isError
    assert "holds no word" in wordless.content[0].text


def picture_in(content: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(content.data)))
