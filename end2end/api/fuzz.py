"""Schemathesis asks a real server everything that its own description permits, and much that it does not.

`python fuzz.py SCHEMATHESIS`, with the path of the program. What is left out stands in `fuzz_hooks.py`, with the reasons.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from baseten.client import managementapi as m

from slipway import EXAMPLES, Slipway

HERE = Path(__file__).parent
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
]


def seed(slipway):
    """A little of everything, so that paths lead somewhere."""
    made = slipway.push(EXAMPLES / "echo", name="Echo")
    model, deployment = made.model.id, made.deployment.id
    slipway.reaches(model, deployment, "ACTIVE")
    slipway.push(EXAMPLES / "echo", model=model, is_development=True)
    slipway.api.post_models_environments(model_id=model, request=m.CreateEnvironmentRequest(name="staging"))
    slipway.api.post_secrets(request=m.UpsertSecretRequest(name="token", value="hush"))
    request = m.CreateAPIKeyRequest.model_validate({"name": "spare", "type": "WORKSPACE_INVOKE"})
    key = slipway.api.post_api_keys(request=request).api_key
    return {
        "model_id": [model],
        "deployment_id": [deployment, "production", "development"],
        "env_name": ["production", "staging"],
        "team_id": ["default"],
        "secret_name": ["token"],
        "api_key_prefix": [key.split(".")[0]],
    }


def main(program):
    with Slipway() as slipway:
        ids = seed(slipway)
        command = [
            program,
            "run",
            f"{slipway.url}/v1/spec",
            *("--header", f"Authorization: Bearer {slipway.key}"),
            *("--checks", ",".join(CHECKS)),
            *("--phases", "examples,coverage,fuzzing"),
            *("--max-examples", "12"),
            *("--workers", "1"),
            # The same questions each time.
            "--generation-deterministic",
            "--no-shrink",
            "--continue-on-failure",
            "--no-color",
            *("--warnings", "off"),
            *("--suppress-health-check", "all"),
            *("--request-timeout", "5"),
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "fuzz_hooks", "SEEDED": json.dumps(ids)}
        environment["PYTHONPATH"] = str(HERE)
        code = subprocess.run(command, env=environment, cwd=slipway.data).returncode
        if slipway.process.poll() is not None:
            print("the server ended meanwhile")
            code = code or 1
        if code:
            print(slipway.printed()[-4000:])
    print("1 passed" if code == 0 else "1 failed")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
