import { Counter, Gauge, type Registry } from 'prom-client';

type Labels<Label extends string> = { readonly [label in Label]: string };

/** Makes what is counted and measured in one registry. */
export type Instruments = {
  readonly counter: <L extends string = never>(name: string, help: string, labelNames?: readonly L[]) => Counter<L>;
  readonly gauge: <L extends string = never>(name: string, help: string, labelNames?: readonly L[]) => Gauge<L>;
  /** A gauge whose value is asked for when it is read; of several processes, the most or the sum. */
  readonly gaugeOf: (name: string, help: string, aggregator: 'max' | 'sum', read: () => number) => void;
  /** The same with labels; those that are not there any more go. */
  readonly gaugesOf: <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    read: () => Iterable<readonly [labels: Labels<L>, value: number]>,
  ) => void;
};

export function instrumentsIn(registry: Registry): Instruments {
  const registers = [registry];
  return {
    counter: (name, help, labelNames = []) => new Counter({ name, help, labelNames, registers }),
    gauge: (name, help, labelNames = []) => new Gauge({ name, help, labelNames, registers }),
    gaugeOf: (name, help, aggregator, read) => {
      new Gauge({
        ...{ name, help, aggregator, registers },
        collect() {
          this.set(read());
        },
      });
    },
    gaugesOf: (name, help, labelNames, read) => {
      new Gauge({
        ...{ name, help, labelNames, registers },
        collect() {
          this.reset();
          for (const [labels, value] of read()) this.set(labels, value);
        },
      });
    },
  };
}
