#!/usr/bin/env python3
"""Forwards TCP connections to a server, until it is told to be silent: then all of them stay open and carry nothing.

    silent_proxy.py HOST:PORT

Prints the address that it listens on. SIGUSR1 makes it silent, SIGUSR2 ends that. To a client this is a machine that
went away without a word, or a network that drops packets.
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
        # The end of a connection is said too, once anything is.
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
