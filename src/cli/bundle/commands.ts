import { type Command, InvalidArgumentError, Option } from 'commander';
import { signatureAlgorithms } from '../../lib/public-key.ts';
import { exitCodeOf } from '../failure.ts';
import { collect, formatOption, withConfigFlags } from '../flags.ts';
import type { Io } from '../ports.ts';
import { type BuildFlags, build } from './build.ts';
import { type DiffFlags, diff } from './diff.ts';
import { type InspectFlags, inspect } from './inspect.ts';
import type { BundleCommands } from './ports.ts';
import { type PushFlags, push } from './push.ts';
import { type SignFlags, sign, type VerifyFlags, verify } from './sign.ts';

/** Adds `postern bundle …`; `end` is given the exit code of the command that was run. */
export function addBundleCommands(
  program: Command,
  io: Io,
  commands: BundleCommands,
  end: (exitCode: number) => void,
): void {
  const bundle = program.command('bundle').description('work with bundles');
  const run = async (command: () => Promise<number>): Promise<void> => end(await exitCodeOf(io, command));

  withConfigFlags(bundle.command('inspect'))
    .description('what is in a bundle, and can it serve?')
    .argument('<file>', 'a bundle file or directory')
    .addOption(formatOption())
    .action((file: string, flags: InspectFlags) => run(() => inspect(file, flags, io, commands.inspectBundle)));

  withConfigFlags(bundle.command('build'))
    .description('compile Rego and data to a bundle, with opa; tests (*_test.rego) are left out')
    .argument('<paths...>', 'Rego, data files, and folders of them')
    .option('-o, --output <file>', 'where to write the bundle', 'bundle.tar.gz')
    .option('-e, --entrypoint <path>', 'a decision; the configured one when there is none', collect, [])
    .option('-r, --revision <text>', 'its revision; the commit that is checked out, with -dirty after changes')
    .option('-b, --bundle', 'the paths are folders laid out like bundles; so are all with a .manifest')
    .option('--ignore <pattern>', 'files and folders to leave out', collect, [])
    .option('--capabilities <file>', "what the policy may use, in OPA's format, or a version of OPA")
    .addOption(formatOption())
    .action((paths: readonly string[], flags: BuildFlags) => run(() => build(paths, flags, io, commands.buildBundle)));

  bundle
    .command('sign')
    .description('add a signature, which OPA and Postern verify')
    .argument('<bundle>', 'a bundle file, or a folder laid out like one')
    .requiredOption('-o, --output <file>', 'where to write the signed bundle')
    .requiredOption('--key <file>', 'the private key, in PEM')
    .addOption(algorithmOption())
    .option('--key-id <id>', 'what `keys` call the key, for whoever verifies')
    .option('--scope <scope>', 'what the signature is good for')
    .option('--iss <issuer>', 'who signs')
    .addOption(formatOption())
    .action((file: string, flags: SignFlags) => run(() => sign(file, flags, io, commands.signBundle)));

  bundle
    .command('verify')
    .description('is the bundle what was signed with this key?')
    .argument('<bundle>', 'a bundle file, or a folder laid out like one')
    .requiredOption('--key <file>', 'the public key or a certificate, in PEM')
    .addOption(algorithmOption())
    .option('--key-id <id>', 'what the signature must call the key')
    .option('--scope <scope>', 'scope that the signature must have', '')
    .option('--exclude-files <pattern>', 'files that the signature need not cover', collect, [])
    .addOption(formatOption())
    .action((file: string, flags: VerifyFlags) => run(() => verify(file, flags, io, commands.verifyBundle)));

  bundle
    .command('diff')
    .description('what is different in another bundle? Signatures are shown, not verified')
    .argument('<before>', 'a bundle file or directory')
    .argument('<after>', 'another')
    .option('--values', 'show values of the data that changed, and not only where they are')
    .option('--limit <count>', 'how many changes of the data to show', requireCount, 100)
    .option('--exit-code', 'exit with 1 when something is different')
    .addOption(formatOption())
    .action((before: string, after: string, flags: DiffFlags) =>
      run(() => diff(before, after, flags, io, commands.diffBundles)),
    );

  withConfigFlags(bundle.command('push'))
    .description('put a bundle to where it is fetched from; one that cannot serve is refused')
    .argument('<url>', 'http(s)://… (PUT; redirects are not followed) or s3://BUCKET/KEY')
    .argument('<file>', 'a bundle file')
    .option('-H, --header <header>', "a header, 'Name: value'", collect, [])
    .option('--token-file <file>', 'a file with a bearer token')
    .option('--tls-ca <file>', "the authorities (PEM) that may vouch for the server, instead of the system's")
    .option('--no-check', 'whether it can serve or not')
    .addOption(formatOption())
    .action((url: string, file: string, flags: PushFlags) =>
      run(() => push(url, file, flags, io, commands.pushBundle)),
    );
}

const algorithmOption = (): Option =>
  new Option('--alg <algorithm>', 'algorithm of the signature').choices(signatureAlgorithms).default('RS256');

const MAX_COUNT = 100_000;

function requireCount(text: string): number {
  const count = /^[0-9]{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (!(count <= MAX_COUNT)) throw new InvalidArgumentError(`a number up to ${MAX_COUNT} is expected`);
  return count;
}
