import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { type Clock, systemClock } from '../../lib/clock.ts';
import type { Sink } from './sink.ts';

/**
 * Standard output as a stream that never blocks the event loop: Node's own writes synchronously to pipes, so a
 * reader that stops would stop every decision. Descriptor 1 stays open when the stream ends.
 */
export const openStandardOutput = (): Writable => createWriteStream('', { fd: 1, autoClose: false });

/**
 * Writes events to a stream, in the dress of OPA's console log: `level`, `msg`, `time` and `type` stand before the
 * event's own keys. A write is done when the stream has passed it on, so a slow reader holds back the queue. The stream
 * is not ended.
 */
export function createConsoleSink(stream: NodeJS.WritableStream, clock: Clock = systemClock): Sink {
  let broken: Error | undefined;
  // Without a listener a broken pipe would end the process. A stream does not recover from an error, and what is
  // written to it later may never be answered.
  stream.on('error', (error) => {
    broken = error;
  });
  return {
    name: 'console',
    write: (lines) =>
      new Promise((resolve, reject) => {
        if (broken !== undefined) return reject(broken);
        const time = `${new Date(clock.wallMs()).toISOString().slice(0, -5)}Z`;
        const dress = `{"level":"info","msg":"Decision Log","time":"${time}","type":"openpolicyagent.org/decision_logs",`;
        const text = lines.map((line) => `${dress}${line.slice(1)}\n`).join('');
        stream.write(text, (error) => (error ? reject(error) : resolve(lines.length)));
      }),
    close: async () => {},
  };
}
