/*
 * `PEER=/path/to/opa-envoy-plugin npm run compare`: sends the golden cases to Postern and to the peer, with the same
 * configuration and the same bundle, and prints every difference. With `--record` the peer's answers become the golden
 * ones. Exit code 1 when something differs that is not one of the differences Postern has on purpose.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Case, casesFolder, type Golden, type Group, goldenOf, readGroups } from '../../test/support/cases.ts';
import { checkClient } from '../../test/support/grpc.ts';
import { root } from '../../test/support/process.ts';
import { buildBundle, type Server, scratchFolder, startPeer, startPostern } from '../../test/support/servers.ts';

const binary = process.env['PEER'];
if (binary === undefined || binary === '') {
  process.stderr.write('compare: PEER must name the binary of opa-envoy-plugin\n');
  process.exit(2);
}
const isRecording = process.argv.includes('--record');
const folder = scratchFolder(undefined);

async function answersOf(server: Server, cases: readonly Case[]): Promise<Golden[]> {
  const client = checkClient(server.grpc);
  const answers: Golden[] = [];
  for (const { request } of cases) answers.push(goldenOf(await client.send(request)));
  client.close();
  await server.stop();
  return answers;
}

async function compareGroup(group: Group, peerBinary: string): Promise<{ differences: string[]; recorded: Golden[] }> {
  const sources = join(root, 'test/fixtures', group.policy);
  const bundle = buildBundle([sources], join(folder, `${group.policy}.tar.gz`));
  const { config } = group;
  // The peer's binary has no WebAssembly engine and refuses a bundle with a module: it gets the same Rego as it is.
  const peer = await startPeer(undefined, peerBinary, { config, args: ['--bundle', sources], folder });
  const recorded = await answersOf(peer, group.cases);
  const ours = await answersOf(
    await startPostern(undefined, { config, args: ['--bundle', bundle], folder }),
    group.cases,
  );
  const differences = group.cases.flatMap(({ name }, i) => {
    const [mine, theirs] = [JSON.stringify(ours[i]), JSON.stringify(recorded[i])];
    return mine === theirs ? [] : [`${group.file}: ${name}\n  postern ${mine}\n  peer    ${theirs}`];
  });
  return { differences, recorded };
}

const recordings = new Map<string, { [name: string]: Golden }>();
let count = 0;
const differences: string[] = [];
for (const group of readGroups()) {
  const result = await compareGroup(group, binary);
  count += group.cases.length;
  differences.push(...result.differences);
  const file = recordings.get(group.file) ?? {};
  group.cases.forEach(({ name }, i) => {
    const answer = result.recorded[i];
    if (answer !== undefined) file[name] = answer;
  });
  recordings.set(group.file, file);
}
if (isRecording) {
  for (const [file, answers] of recordings) {
    writeFileSync(join(casesFolder, file.replace(/\.yaml$/, '.want.json')), `${JSON.stringify(answers, null, 2)}\n`);
  }
}
for (const difference of differences) process.stdout.write(`${difference}\n`);
process.stdout.write(`${count} cases, ${differences.length} differences\n`);
process.exit(differences.length > 0 && !isRecording ? 1 : 0);
