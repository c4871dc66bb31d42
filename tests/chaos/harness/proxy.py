"""A TCP proxy on a thread of its own. It passes everything on, cuts what is open, or holds: bytes that come meanwhile go
on late (Redis), or are lost with their connection (the CA: what arrives later than its limits is beyond the
assumptions)."""

import asyncio
import threading


class Link:
    """One connection and its other half."""

    def __init__(self, proxy, near, far):
        self.proxy, self.writers = proxy, (near[1], far[1])

    async def pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                if not self.proxy.passing.is_set():
                    await self.proxy.passing.wait()
                    if self.proxy.loses:
                        break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.close()

    def close(self):
        for writer in self.writers:
            writer.transport.abort()


class Proxy:
    link = Link

    def __init__(self, host, port, loses):
        self.target, self.loses = (host, port), loses
        self.links, self.refusing = set(), False
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.port = self._run(self._open())

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    async def _open(self):
        self.passing = asyncio.Event()
        self.passing.set()
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def _accept(self, reader, writer):
        if self.refusing:
            writer.transport.abort()
            return
        try:
            far = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        link = self.link(self, (reader, writer), far)
        self.links.add(link)
        await asyncio.gather(link.pump(reader, far[1]), link.pump(far[0], writer), return_exceptions=True)
        self.links.discard(link)

    async def _cut(self, refuse):
        self.refusing = refuse
        for link in list(self.links):
            link.close()

    async def _hold(self):
        self.passing.clear()

    async def _release(self):
        self.refusing = False
        if self.loses and not self.passing.is_set():
            await self._cut(False)
        self.passing.set()

    def cut(self, refuse=False):
        """Resets what is open; with refuse, whatever comes as well."""
        self._run(self._cut(refuse))

    def hold(self):
        self._run(self._hold())

    def release(self):
        self._run(self._release())

    async def _end(self):
        self.server.close()
        await self._cut(True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self):
        self._run(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
