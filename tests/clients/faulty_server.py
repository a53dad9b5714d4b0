#!/usr/bin/env python3
"""Forwards the streams of a server, after it refused its first call as a library or a proxy would.

    faulty_server.py HOST:PORT

It prints the address that it listens on. It answers the first call with INVALID_ARGUMENT and without
`google.rpc.ErrorInfo`: an error with that status which Almanac did not make. It forwards every later call, as one request
with a stream of answers. It needs grpcio.
"""

import concurrent.futures
import itertools
import sys

import grpc

# foreign_error in checks.py looks for this text.
MESSAGE = "a message that somebody cut"
THREADS = 4


class Forward(grpc.GenericRpcHandler):
    def __init__(self, channel):
        self.channel = channel
        self.calls = itertools.count()

    def service(self, handler_call_details):
        method = handler_call_details.method

        def answer(request, context):
            if next(self.calls) == 0:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, MESSAGE)
            call = self.channel.unary_stream(method)(request)
            context.add_callback(call.cancel)
            yield from call

        return grpc.unary_stream_rpc_method_handler(answer)


def main():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(THREADS), handlers=[Forward(channel)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        print(f"127.0.0.1:{port}", flush=True)
        server.wait_for_termination()


if __name__ == "__main__":
    main()
