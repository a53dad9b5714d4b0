#!/usr/bin/env python3
"""Forwards TCP connections to a server, and can fall silent.

    silent_proxy.py HOST:PORT

It prints the address that it listens on. After SIGUSR1 every connection stays open and carries nothing; SIGUSR2 ends
that. A client sees the same when the machine of the server loses power, or when the network drops every packet.
"""

import asyncio
import signal
import sys

CHUNK = 65536


async def pump(reader, writer, forwarding):
    try:
        while data := await reader.read(CHUNK):
            await forwarding.wait()
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        # While the proxy is silent, it does not pass on the end of a connection either.
        await forwarding.wait()
        writer.close()


async def forward(server, forwarding, client_reader, client_writer):
    host, port = server.rsplit(":", 1)
    try:
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
    except OSError:
        client_writer.close()
        return
    await asyncio.gather(pump(client_reader, server_writer, forwarding), pump(server_reader, client_writer, forwarding))


async def main(server):
    forwarding = asyncio.Event()
    forwarding.set()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, forwarding.clear)
    loop.add_signal_handler(signal.SIGUSR2, forwarding.set)

    async def accept(reader, writer):
        await forward(server, forwarding, reader, writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
