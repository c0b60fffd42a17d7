import { type Command, InvalidArgumentError, Option } from 'commander';
import { histogramGroups, phases } from '../../decisions/query/histogram.ts';
import { topColumns } from '../../decisions/query/top.ts';
import type { Io, OpenDecisions } from '../ports.ts';
import { type Act, type DecisionsFlags, histogram, list, query, show, tail, top, withSource } from './commands.ts';
import { outputFormats } from './render.ts';

/** `postern decisions …`: what was decided, from a running server or from the files of one that has stopped. */
export function addDecisionCommands(
  program: Command,
  io: Io,
  open: OpenDecisions,
  onExit: (code: number) => void,
): void {
  const decisions = program.command('decisions').description('what was decided');
  const run = async (flags: DecisionsFlags, act: Act): Promise<void> => onExit(await withSource(flags, io, open, act));

  withSourceFlags(decisions.command('query'))
    .description('answer a SELECT over the table `decisions`')
    .argument('<sql>', 'the statement')
    .action((sql: string, flags: DecisionsFlags) => run(flags, query(flags, sql, io)));

  withFilters(withSourceFlags(decisions.command('list')))
    .description('decisions, newest first')
    .option('-n, --limit <count>', 'how many', requireCount(1_000_000), '20')
    .action((flags: DecisionsFlags) => run(flags, list(flags, Number(flags.limit))));

  withFilters(withSourceFlags(decisions.command('tail'), 'ndjson'))
    .description('decisions as they come in, until it is told to stop')
    .action((flags: DecisionsFlags) => run(flags, tail(flags, io)));

  withSourceFlags(decisions.command('show'))
    .description('one decision')
    .argument('<id>', 'its decision_id')
    .action((id: string, flags: DecisionsFlags) => run(flags, show(flags, id)));

  withFilters(withSourceFlags(decisions.command('top')))
    .description('what occurs most; of the last day unless told otherwise')
    .addOption(new Option('--by <column>', 'of what').choices(topColumns).default('subject'))
    .option('-n, --limit <count>', 'how many', requireCount(1000), '10')
    .action((flags: DecisionsFlags) => run(flags, top(flags)));

  withFilters(withSourceFlags(decisions.command('histogram')))
    .description('how long decisions took; of the last day unless told otherwise')
    .addOption(new Option('--by <column>', 'one for each').choices(histogramGroups))
    .addOption(new Option('--phase <phase>', 'of one phase only').choices(phases))
    .option('-n, --limit <count>', 'for how many of them', requireCount(100))
    .action((flags: DecisionsFlags) => run(flags, histogram(flags)));
}

const withSourceFlags = (command: Command, format = 'table'): Command =>
  command
    .option('--server <url>', 'the HTTP API of a running server', requireUrl, 'http://127.0.0.1:8181')
    .option('--token-file <file>', 'a file with the admin token')
    .option('--tls-ca <file>', "the authorities (PEM) that may vouch for the server, instead of Node's")
    .addOption(
      new Option('--path <folder>', 'the store of a server that has stopped, instead').conflicts([
        'tokenFile',
        'tlsCa',
      ]),
    )
    .addOption(new Option('--format <format>').choices(outputFormats).default(format));

const withFilters = (command: Command): Command =>
  command
    .option('--since <time>', 'not before this time (RFC 3339) or age (15m, 24h, 7d)')
    .option('--until <time>', 'before this time or age')
    .addOption(new Option('--outcome <outcome>').choices(['allow', 'deny', 'fault']))
    .option('--reason <reason>', 'with this reason')
    .option('--subject <subject>', 'of this subject')
    .option('--method <method>', 'with this method')
    .option('--host <host>', 'for this host')
    .option('--request-path <prefix>', 'for paths that begin with this')
    .option('--route <route>', 'for this route, such as /v1/items/{id}')
    .option('--min-latency-us <microseconds>', 'that took at least so long');

const requireCount =
  (most: number) =>
  (text: string): string => {
    if (!/^[1-9][0-9]{0,6}$/.test(text) || Number(text) > most) {
      throw new InvalidArgumentError(`a number from 1 to ${most} is expected`);
    }
    return text;
  };

function requireUrl(text: string): string {
  if (!/^https?:\/\/[^/?#]+\/?$/.test(text))
    throw new InvalidArgumentError('an http or https URL without a path is expected');
  return text;
}
