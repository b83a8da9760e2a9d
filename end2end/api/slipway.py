"""A real server in a data folder of its own, on a free port of loopback, and a model pushed to it by the SDK."""

import os
import secrets
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import boto3
import yaml
from baseten.client import ManagementClient
from baseten.client.managementapi import CreateModelDeploymentRequest, CreateModelRequest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
BINARY = os.environ.get("SLIPWAY", str(ROOT / "target/serve/slipway"))


class Slipway:
    def __enter__(self):
        self.data = tempfile.mkdtemp(prefix="slipway-")
        self.key = "api-" + secrets.token_hex(24)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = open(Path(self.data) / "printed", "w+")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--data-dir", self.data, "--listen", f"127.0.0.1:{port}"],
            env={**os.environ, "SLIPWAY_ADMIN_KEY": self.key},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.client = ManagementClient(api_key=self.key, base_url_override=self.url)
        self.api = self.client.api
        until("the server answers", self.answers)
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended:\n{self.printed()}")
        try:
            return self.client.http_client.get("/healthz").status_code == 200
        except Exception:
            return False

    def printed(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read()

    def __exit__(self, *_):
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()
        shutil.rmtree(self.data, ignore_errors=True)

    def upload(self, folder):
        """Uploads a folder's archive with the credentials that the API gives; answers its key."""
        given = self.api.get_blobs_credentials_model()
        archive = tempfile.NamedTemporaryFile(suffix=".tar")
        with tarfile.open(archive.name, "w") as packed:
            for path in sorted(folder.iterdir()):
                packed.add(path, arcname=path.name)
        # The SDK leaves the endpoint to the S3 client, which knows another one by default.
        s3 = boto3.client(
            "s3",
            endpoint_url=f"{self.url}/s3",
            region_name="us-east-1",
            aws_access_key_id=given.creds.aws_access_key_id,
            aws_secret_access_key=given.creds.aws_secret_access_key,
            aws_session_token=given.creds.aws_session_token,
        )
        s3.upload_file(archive.name, given.s3_bucket, given.s3_key)
        return given.s3_key

    def push(self, folder, model=None, name=None, **deployment):
        """Pushes a folder as a new model of this name, or as a further deployment of a model."""
        text = (folder / "config.yaml").read_text()
        payload = {"config": yaml.safe_load(text), "raw_config": text, **deployment}
        source = {"kind": "model_archive", "deployment": payload, "s3_key": self.upload(folder)}
        if model is not None:
            request = CreateModelDeploymentRequest.model_validate({"source": source})
            return self.api.post_models_deployments(model_id=model, request=request)
        request = CreateModelRequest.model_validate({"source": {**source, "name": name}})
        return self.api.post_models(request=request)

    def deployment(self, model, deployment):
        return self.api.get_models_deployments_deployment_id(model_id=model, deployment_id=deployment)

    def reaches(self, model, deployment, *statuses):
        """Waits until a deployment has one of these statuses."""
        return until(
            f"{deployment} is {' or '.join(statuses)}",
            lambda: (found := self.deployment(model, deployment)).status in statuses and found,
            lambda: self.deployment(model, deployment),
        )


def until(what, ask, otherwise=lambda: "", seconds=120):
    """Asks until the answer is a yes, and returns it."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain until {what}; {otherwise()}")
        time.sleep(0.1)
    return answer
