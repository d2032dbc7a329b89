"""The barest function there is, which imports nothing of its own."""

import functions_framework.aio
from starlette.requests import Request


@functions_framework.aio.http
async def hello(_request: Request) -> str:
    """Nothing at all."""
    return "hello"
