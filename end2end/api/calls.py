"""The unmodified gRPC client calls a model through a real server: `python calls.py`."""

import sys
import time
import traceback
from urllib.parse import urlsplit

import grpc

from slipway import ROOT, Slipway

SERVICE = "/example.Greeter"


class Tests:
    def __init__(self, slipway, model):
        self.slipway = slipway
        self.channel = grpc.insecure_channel(urlsplit(slipway.url).netloc)
        self.metadata = [("authorization", f"Bearer {slipway.key}"), ("baseten-model-id", f"model-{model}")]

    def refused(self, metadata, method="Say"):
        """The status of a call that must fail."""
        try:
            answer = self.channel.unary_unary(f"{SERVICE}/{method}")(b"you", metadata=metadata, timeout=60)
        except grpc.RpcError as error:
            assert error.details(), "it says nothing"
            return error.code()
        raise AssertionError(f"it was answered: {answer}")

    def test_a_call_is_answered_with_its_trailers(self):
        answer, call = self.channel.unary_unary(f"{SERVICE}/Say").with_call(
            b"you", metadata=self.metadata, timeout=60
        )
        assert answer == b"Hello, you"
        assert ("x-length", "3") in [(key, value) for key, value in call.trailing_metadata()]

    def test_messages_stream_both_ways(self):
        heard = []

        def said():
            yield b"one"
            # Each is sent once the one before was answered.
            for number in range(2, 20):
                while len(heard) < number - 1:
                    time.sleep(0.001)
                yield str(number).encode()

        for message in self.channel.stream_stream(f"{SERVICE}/Converse")(said(), metadata=self.metadata, timeout=60):
            heard.append(message)
        assert len(heard) == 19 and heard[-1] == b"You said 19"

    def test_large_messages_pass(self):
        large = b"x" * 3_000_000
        answer = self.channel.unary_unary(f"{SERVICE}/Say")(large, metadata=self.metadata, timeout=60)
        assert answer == b"Hello, " + large

    def test_many_calls_are_under_way_at_once(self):
        say = self.channel.unary_unary(f"{SERVICE}/Say")
        calls = [say.future(str(n).encode(), metadata=self.metadata, timeout=60) for n in range(300)]
        assert [call.result() for call in calls] == [f"Hello, {n}".encode() for n in range(300)]

    def test_errors_are_the_models_own_or_ours(self):
        assert self.refused(self.metadata, "Fail") == grpc.StatusCode.INVALID_ARGUMENT
        assert self.refused(self.metadata, "Nothing") == grpc.StatusCode.UNIMPLEMENTED
        assert self.refused(self.metadata[1:]) == grpc.StatusCode.UNAUTHENTICATED
        assert self.refused(self.metadata[:1]) == grpc.StatusCode.NOT_FOUND
        staging = [*self.metadata, ("x-baseten-environment", "staging")]
        assert self.refused(staging) == grpc.StatusCode.NOT_FOUND


def main():
    passed = failed = 0
    with Slipway() as slipway:
        made = slipway.push(ROOT / "end2end/trusses/grpc", name="gRPC")
        slipway.reaches(made.model.id, made.deployment.id, "ACTIVE")
        tests = Tests(slipway, made.model.id)
        for name in [name for name in vars(Tests) if name.startswith("test_")]:
            try:
                getattr(tests, name)()
                passed += 1
                print(f"ok      {name}", flush=True)
            except Exception:
                failed += 1
                print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
        tests.channel.close()
        if failed:
            print(slipway.printed()[-4000:])
    print(f"{passed} passed")
    if failed:
        print(f"{failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
