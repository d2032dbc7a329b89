"""OpenAI's own client for Node against `openai_proxy`, over HTTP, through the local host."""

import asyncio
import json
import shutil
from pathlib import Path

from tests.gateway.served import served

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "web"


async def test_the_node_client_works_unchanged(tutor, tmp_path):
    async with served(tutor, rate_ai_points=30) as place:
        # Node looks for packages beside the script's own folder.
        shutil.copy(HERE / "client.mjs", tmp_path)
        (tmp_path / "node_modules").symlink_to(WEB / "node_modules")
        process = await asyncio.create_subprocess_exec(
            "node",
            str(tmp_path / "client.mjs"),
            place.openai,
            "ann",
            "tess/teacher",
            "bad",
            "lim",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()
    seen = json.loads(out)
    assert seen["whole"] == seen["streamed"]
    assert seen["whole"].startswith("[Canned reply]")
    assert seen["chunks"] > 5
    assert seen["usage"] > 0
    assert seen["response"].startswith("[Canned reply]")
    assert seen["lastEvent"] == "response.completed"
    assert seen["vectors"] == [1536, 1536]
    assert seen["models"] == ["gpt-6-luna", "text-embedding-3-small"]
    assert seen["tools"]["kind"] == "PermissionDeniedError"
    assert seen["tools"]["param"] == "tools"
    assert seen["teacherTools"] == 1
    assert seen["unknownModel"]["kind"] == "NotFoundError"
    assert (seen["refused"]["kind"], seen["refused"]["param"]) == ("BadRequestError", "n")
    assert seen["stranger"]["kind"] == "AuthenticationError"
    assert seen["broken"]["kind"] == "APIError"
    assert (seen["malformed"]["kind"], seen["malformed"]["status"]) == ("InternalServerError", 503)
    assert seen["malformed"]["retryAfter"]
    assert seen["limited"]["kind"] == "RateLimitError"
    assert 1 <= int(seen["limited"]["retryAfter"]) <= 70
