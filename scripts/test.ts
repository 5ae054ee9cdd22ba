/**
 * `npm test`: brings the programs that the end-to-end groups need (Debian, as root), then runs every test.
 * `npm test -- test/kube` runs only the files below the given folders. Missing programs skip their groups, by name.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

interface Need {
  /** Any of these; or a file, where what is needed is no program. */
  readonly programs: readonly string[];
  readonly file?: string;
  readonly debianPackage: string;
  readonly group: string;
}

const needs: readonly Need[] = [
  { programs: ['crun', 'runc'], debianPackage: 'crun', group: 'pods in containers (oci driver)' },
  { programs: ['ip'], debianPackage: 'iproute2', group: 'pod networks (oci driver)' },
  { programs: ['nft'], debianPackage: 'nftables', group: 'pods reach other machines, by nft' },
  { programs: ['iptables'], debianPackage: 'iptables', group: 'pods reach other machines, by iptables' },
  { programs: ['git'], debianPackage: 'git', group: 'builds from git' },
  { programs: ['kubectl'], debianPackage: 'kubernetes-client', group: 'end to end with real kubectl' },
  { programs: ['go'], debianPackage: 'golang-go', group: "server-side apply against Kubernetes' Go code" },
  {
    programs: [],
    file: '/usr/share/gocode/src/sigs.k8s.io/structured-merge-diff/merge/update.go',
    debianPackage: 'golang-k8s-sigs-structured-merge-diff-dev',
    group: "server-side apply against Kubernetes' Go code",
  },
];

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const isMissing = ({ programs, file }: Need): boolean =>
  file === undefined ? !programs.some(onPath) : !existsSync(file);

function isDebian(): boolean {
  try {
    return /^ID(_LIKE)?=.*debian/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}

function installMissing(): void {
  const packages = needs.filter(isMissing).map((need) => need.debianPackage);
  if (packages.length === 0 || !isDebian() || process.getuid?.() !== 0) return;
  console.log(`installing ${packages.join(', ')} for the end-to-end tests`);
  spawnSync('apt-get', ['update', '-qq'], { stdio: ['ignore', 'ignore', 'inherit'] });
  for (const name of packages) {
    spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', name], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  }
}

function testFiles(places: readonly string[]): string[] {
  const roots = places.length > 0 ? places : ['test'];
  return roots
    .flatMap((place) => (statSync(place).isFile() ? [place] : globSync(`${place}/**/*.test.ts`)))
    .sort();
}

installMissing();
const missing = needs.filter(isMissing);
const result = spawnSync(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-concurrency=2',
    ...testFiles(process.argv.slice(2)),
  ],
  { stdio: 'inherit' },
);
for (const need of missing) {
  console.log(
    `skipped: ${need.group} (needs ${need.file ?? need.programs.join(' or ')}; Debian package ${need.debianPackage})`,
  );
}
process.exit(result.status ?? 1);
