"""A service without a description: messages are plain bytes, so that nothing has to be generated."""

import os
import signal
from concurrent import futures

import grpc


def say(message, context):
    context.set_trailing_metadata([("x-length", str(len(message)))])
    return b"Hello, " + message


def converse(messages, context):
    for message in messages:
        yield b"You said " + message


def fail(message, context):
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "that is nothing to say")


METHODS = {
    "Say": grpc.unary_unary_rpc_method_handler(say),
    "Converse": grpc.stream_stream_rpc_method_handler(converse),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("example.Greeter", METHODS)])
server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
server.start()
signal.signal(signal.SIGTERM, lambda *_: server.stop(30))
server.wait_for_termination()
