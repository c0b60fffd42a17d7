import { Gauge, type Registry } from 'prom-client';

export type GaugeOptions = {
  readonly registers: Registry[];
  readonly name: string;
  readonly help: string;
};

/** A gauge whose value is asked for when it is read; of several processes, the most or the sum. */
export function gaugeOf(options: GaugeOptions, aggregator: 'max' | 'sum', read: () => number): void {
  new Gauge({
    ...options,
    aggregator,
    collect() {
      this.set(read());
    },
  });
}

/** The same with labels; those that are not there any more go. */
export function gaugesOf<Label extends string>(
  options: GaugeOptions,
  labelNames: readonly Label[],
  read: () => Iterable<readonly [labels: { readonly [label in Label]: string }, value: number]>,
): void {
  new Gauge({
    ...options,
    labelNames,
    collect() {
      this.reset();
      for (const [labels, value] of read()) this.set(labels, value);
    },
  });
}
