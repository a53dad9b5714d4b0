#!/usr/bin/env python3
"""Answers its first call as a library or proxy in between would: INVALID_ARGUMENT, without `google.rpc.ErrorInfo`. All
later calls of streams go to the server behind it.

    faulty_server.py HOST:PORT

Prints the address that it listens on. Needs grpcio.
"""

import concurrent.futures
import itertools
import sys

import grpc

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
