import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { logFormats, logLevels } from '../telemetry/logger.ts';
import { addBundleCommands } from './bundle/commands.ts';
import { type CheckFlags, check } from './check.ts';
import { addDecisionCommands } from './decisions/program.ts';
import { collect, formatOption, withConfigFlags } from './flags.ts';
import type { Commands, Io } from './ports.ts';
import { type RunFlags, run } from './run.ts';
import { version } from './version.ts';

/** Runs the command line `args` (without the interpreter and the script). Returns the exit code. */
export async function runProgram(args: readonly string[], io: Io, commands: Commands): Promise<number> {
  let exitCode = 0;
  const program = new Command('postern')
    .description('External authorization for Envoy: verifies who is calling, asks Rego policy, remembers the decision.')
    .version(version, '-v, --version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
    });

  withConfigFlags(program.command('run'))
    .description('serve')
    .argument('[paths...]', 'Rego sources, compiled with opa, or bundles')
    .option('-s, --server', 'serve (the only way to run; kept for command lines written for OPA)')
    .option('-a, --addr <address>', 'where the HTTP API listens', '127.0.0.1:8181')
    .option('--diagnostic-addr <address>', 'where metrics and health are served', '127.0.0.1:9090')
    .option('-b, --bundle <path>', 'a bundle file or directory to serve', collect, [])
    .option('--ignore <pattern>', 'files to leave out when Rego sources are compiled', collect, [])
    .option('--shutdown-wait-period <seconds>', 'sets postern.drain.delay_seconds', requireSeconds)
    .option('--shutdown-grace-period <seconds>', 'sets postern.drain.timeout_seconds', requireSeconds)
    .addOption(new Option('--skip-version-check').hideHelp())
    .addOption(new Option('--disable-telemetry').hideHelp())
    .addOption(new Option('-l, --log-level <level>').choices(logLevels).default('info'))
    .addOption(new Option('--log-format <format>').choices(logFormats).default('json'))
    .action(async (paths: readonly string[], flags: Omit<RunFlags, 'paths'> & DrainFlags) => {
      exitCode = await run({ ...flags, set: [...drainSettings(flags), ...flags.set], paths }, io, commands.startServer);
    });

  withConfigFlags(program.command('check'))
    .description('what would this request do?')
    .option('-b, --bundle <path>', 'decide here, with this bundle', collect, [])
    .option('--server <address>', 'ask this ext_authz server instead')
    .option('--tls', 'with --server: encrypted; each of the options below does so too')
    .option('--tls-ca <file>', "the authorities (PEM) that may vouch for the server, instead of Node's")
    .option('--tls-cert <file>', 'the certificate (PEM) to show the server')
    .option('--tls-key <file>', 'its private key (PEM)')
    .option(
      '--tls-server-name <name>',
      "whose certificate the server must show, instead of its host's: a host name or a spiffe:// URI",
    )
    .option('-X, --method <method>', 'the HTTP method', 'GET')
    .option('-u, --url <url>', 'the URL that the client asks for', requireUrl)
    .option('-H, --header <header>', "a header, 'Name: value'", collect, [])
    .option('-d, --body <text>', 'the request body')
    .option('--principal <id>', "the workload's identity (source.principal)")
    .option('-r, --request <file>', 'a CheckRequest as JSON, instead of the options above')
    .addOption(new Option('--expect <verdict>', 'exit with 1 when the answer is another').choices(['allow', 'deny']))
    .addOption(formatOption())
    .action(async (flags: CheckFlags) => {
      exitCode = await check(flags, io, { offline: commands.askOffline, server: commands.askServer });
    });

  addBundleCommands(program, io, commands, (code) => {
    exitCode = code;
  });

  addDecisionCommands(program, io, commands.openDecisions, (code) => (exitCode = code));

  program
    .command('version')
    .description('print the version')
    .action(() => void io.stdout.write(`${version}\n`));

  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
  return exitCode;
}

type DrainFlags = { readonly shutdownWaitPeriod?: string; readonly shutdownGracePeriod?: string };

/** OPA's flags for what is an option here. */
const drainSettings = ({ shutdownWaitPeriod: wait, shutdownGracePeriod: grace }: DrainFlags): readonly string[] => [
  ...(wait === undefined ? [] : [`postern.drain.delay_seconds=${wait}`]),
  ...(grace === undefined ? [] : [`postern.drain.timeout_seconds=${grace}`]),
];

function requireSeconds(text: string): string {
  if (!/^[0-9]{1,8}$/.test(text)) throw new InvalidArgumentError('a number of seconds is expected');
  return text;
}

function requireUrl(text: string): string {
  if (!/^https?:\/\/[^/?#]+/.test(text)) throw new InvalidArgumentError('an http or https URL is expected');
  return text;
}
