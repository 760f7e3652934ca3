"""The tools of decoy runs. They act only on the decoy."""

import asyncio
import sys

from activities.drills.decoy import TICK_SECONDS, path_of
from activities.drills.decoy_client import act_on_decoy, connected, decoy_address
from activities.tools import Idempotent, Irreversible, ToolContext, ToolError, tool

MODULE = __name__
LONGEST = 300  # seconds; much longer than any drill

# The source of a child process. A cancellation does not reach it: the tool that started it has to kill it.
CHILD = """
import socket, sys, time
host, port, path, tick = sys.argv[1:]
with socket.create_connection((host, int(port))) as s:
    while True:
        s.sendall(f"POST {path} HTTP/1.1\\r\\nContent-Length: 0\\r\\n\\r\\n".encode())
        s.recv(4096)
        time.sleep(float(tick))
"""


@tool(effect="write", contract=Irreversible(), undo="touch", output="trusted", timeout=LONGEST)
async def work_in_a_process(ctx: ToolContext, url: str) -> str:
    """Act on the decoy from a process of its own, for minutes."""
    host, port = decoy_address(url, ctx.settings)
    path = path_of("hit", ctx.run_id, ctx.call_id)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", CHILD, host, str(port), path, str(TICK_SECONDS),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env={},  # the child needs no secrets of this worker
    )  # fmt: skip
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    raise ToolError("the process ended by itself")


@tool(effect="write", contract=Irreversible(), undo="touch", output="trusted", timeout=LONGEST)
async def read_slowly(ctx: ToolContext, url: str) -> str:
    """Ask the decoy for an answer that takes minutes."""
    async with connected(decoy_address(url, ctx.settings)) as (reader, writer):
        writer.write(f"GET {path_of('slow', ctx.run_id, ctx.call_id)} HTTP/1.1\r\n\r\n".encode())
        while await reader.read(4096):
            pass
    return "the answer ended"


@tool(effect="write", contract=Idempotent(), undo="touch", output="trusted")
async def touch(ctx: ToolContext, url: str, number: int = 0) -> str:
    """Act on the decoy once."""
    async with connected(decoy_address(url, ctx.settings)) as connection:
        await act_on_decoy(connection, ctx.run_id, ctx.call_id)
    return f"touched {number}"


@tool(effect="write", contract=Idempotent(), undo="touch", output="trusted")
async def touch_if_allowed(ctx: ToolContext, url: str) -> str:
    """Act on the decoy once, after a person has allowed it."""
    async with connected(decoy_address(url, ctx.settings)) as connection:
        await act_on_decoy(connection, ctx.run_id, ctx.call_id)
    return "touched"
