import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Scope } from './scope.ts';

export type Relay = {
  /** HOST:PORT, and with `http://` before it. */
  readonly host: string;
  readonly url: string;
  /** From now on nothing that is asked gets through. */
  readonly hold: () => void;
};

/** Hands connections on to another port of the loopback interface, until it is held. */
export async function startRelay(scope: Scope, url: string): Promise<Relay> {
  const sockets = new Set<Socket>();
  let isHeld = false;
  const server = createServer((socket) => {
    const onward = connect(Number(new URL(url).port), '127.0.0.1');
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
    socket.on('data', (bytes) => {
      if (!isHeld) onward.write(bytes);
    });
    onward.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    host,
    url: `http://${host}`,
    hold: () => {
      isHeld = true;
    },
  };
}
