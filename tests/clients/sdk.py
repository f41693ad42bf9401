"""The Python SDK as a client: `URL=… TOKEN=… python sdk.py legacy|auto TOOL ARGUMENTS`.

Prints what it saw as JSON; fails where a good call is an error or a bad one is none.
"""

import importlib.metadata
import json
import os
import sys

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

mode, tool, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
sent = {}  # the MCP headers of the last request
lie = {}  # replaces some of them


def failed(why):
    print(why, file=sys.stderr, flush=True)
    os._exit(1)  # an exception would come out of the SDK's task groups as a group


async def record(request):
    request.headers.update(lie)
    sent.clear()
    sent.update((name, value) for name, value in request.headers.items() if name.startswith("mcp-"))


def text(result):
    return "\n".join(block.text for block in result.content)


async def refusal(call):
    try:
        answer = await call
    except MCPError as error:
        return {"code": error.error.code, "message": error.error.message}
    failed(f"answered, but should have been refused: {answer}")


async def main():
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30, event_hooks={"request": [record]}) as http:
        transport = streamable_http_client(os.environ["URL"], http_client=http)
        async with Client(transport, mode=mode) as client:
            tools = (await client.list_tools()).tools
            good = await client.call_tool(tool, arguments)
            if good.is_error:
                failed(f"the call is an error: {text(good)}")
            report = {
                "client": f"mcp {importlib.metadata.version('mcp')}",
                "protocol": client.protocol_version,
                "server": client.server_info.model_dump(exclude_none=True) if client.server_info else None,
                "instructions": client.instructions,
                "tools": [each.name for each in tools],
                "text": text(good),
                "sent": dict(sent),
            }
            bad = await client.call_tool(tool, {**arguments, "zzz": "x"})
            if not bad.is_error:
                failed(f"the bad call is no error: {bad}")
            report["error"] = text(bad)
            report["unknownTool"] = await refusal(client.call_tool("no_such_tool", {}))
            if "mcp-param-namespace" in report["sent"]:
                lie["mcp-param-namespace"] = "kube-system"
                report["mismatch"] = await refusal(client.call_tool(tool, arguments))
                lie.clear()
    print(json.dumps(report, indent=1))


anyio.run(main)
