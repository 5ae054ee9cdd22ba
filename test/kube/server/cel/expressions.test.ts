import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import { compile } from '../../../../src/kube/server/cel/compile.ts';
import { CelCompileError, CelEvaluationError } from '../../../../src/kube/server/cel/errors.ts';
import { Budget, BudgetError } from '../../../../src/kube/server/cel/functions/signature.ts';
import { dyn } from '../../../../src/kube/server/cel/types.ts';
import { Data } from '../../../../src/kube/server/cel/values.ts';

const self = {
  name: 'web',
  count: 3,
  ratio: 0.5,
  on: true,
  tags: ['a', 'b', 'c'],
  ports: [
    { name: 'http', port: 80 },
    { name: 'https', port: 443 },
  ],
  labels: { app: 'web', tier: 'front' },
  nothing: null,
};

function run(expression: string, budget = 1_000_000): unknown {
  const program = compile(expression, [['self', dyn]]);
  return program.run([new Data().convert(self, dyn)], new Budget(budget));
}

/** Expressions that must be true, by what they are about. */
const truths: Readonly<Record<string, readonly string[]>> = {
  arithmetic: [
    '1 + 2 * 3 == 7',
    '-7 / 2 == -3',
    '-7 % 2 == -1',
    '7u / 2u == 3u',
    '1.5 + 1.5 == 3.0',
    'self.count > 2.5',
    '9223372036854775807 > 0',
    '-9223372036854775808 < 0',
    'double(self.count) / 2.0 == 1.5',
    'int(3.9) == 3 && uint(4) == 4u && int("12") == 12',
  ],
  logic: [
    'true || self.missing.deep',
    'self.missing || true',
    '!(false && self.missing)',
    'self.on ? self.count == 3 : self.missing',
    '[1, 2, 3].all(x, x > 0) && [1, 2].exists(x, x == 2) && [1, 2].exists_one(x, x == 2)',
    '[1, 0].exists(x, 10 / x == 10)',
  ],
  members: [
    'has(self.name) && !has(self.missing)',
    'self.labels.app == "web" && self.labels["tier"] == "front"',
    '"app" in self.labels && !("x" in self.labels)',
    'self.ports[1].name == "https"',
    'self.nothing == null',
    'self.?missing.orValue("x") == "x"',
    'self.?name.hasValue() && self.?name.value() == "web"',
    'self.?labels[?"app"].optMap(v, v + "!").orValue("") == "web!"',
    'optional.none().or(optional.of(1)).value() == 1',
    'optional.ofNonZeroValue("").hasValue() == false',
    'self[?"name"].orValue("") == "web"',
  ],
  macros: [
    'self.ports.map(p, p.port) == [80, 443]',
    'self.ports.map(p, p.port > 80, p.name) == ["https"]',
    'self.ports.filter(p, p.name.startsWith("http")).size() == 2',
    'self.labels.all(k, k != "") && self.labels.exists(k, k == "app")',
    'self.labels.all(k, v, k.size() > 0 && v.size() > 0)',
    'self.tags.transformList(i, v, string(i) + v) == ["0a", "1b", "2c"]',
    'self.labels.transformMap(k, v, v + k)["app"] == "webapp"',
    'cel.bind(x, self.count, x * x) == 9',
    '[[1, 2], [3]].map(x, x.map(y, y * 2)) == [[2, 4], [6]]',
  ],
  strings: [
    '"hello".contains("ell") && "hello".endsWith("lo")',
    '"hello".matches("^h.*o$") && matches("x1", "[0-9]")',
    '"tacocat".charAt(3) == "o" && "äö".size() == 2',
    '"hello mellow".indexOf("ello", 2) == 7 && "hello mellow".lastIndexOf("ello") == 7',
    '"TacoCat".lowerAscii() == "tacocat" && "tacÆ".upperAscii() == "TACÆ"',
    '"hello hello".replace("he", "we", 1) == "wello hello"',
    '"abc".replace("", "_") == "_a_b_c_"',
    '"a,b,c".split(",") == ["a", "b", "c"] && "a,b,c".split(",", 2) == ["a", "b,c"]',
    '"tacocat".substring(0, 4) == "taco" && " x ".trim() == "x"',
    'self.tags.join("-") == "a-b-c" && ["x"].join() == "x"',
    '"%s has %d of %.2f%%, %x".format(["web", 3, 12.345, 255]) == "web has 3 of 12.35%, ff"',
    '"%s".format([[1, "a", {"k": true}]]) == "[1, a, {k: true}]"',
    '"a1b22".find("[0-9]+") == "1" && "a1b22".findAll("[0-9]+") == ["1", "22"] && "a1b22".findAll("[0-9]", 2) == ["1", "2"]',
    'string(1) == "1" && string(true) == "true" && string(b"abc") == "abc" && string(1.5) == "1.5"',
    'type("x") == string && type(1) == int && type(self.tags) == list && type(null) == null_type',
  ],
  lists: [
    '[1, 2, 2].isSorted() && !["b", "a"].isSorted()',
    '[1, 2, 3].sum() == 6 && [1.5, 2.5].sum() == 4.0 && [3, 1].min() == 1 && [3, 1].max() == 3',
    '["a", "b", "a"].indexOf("a") == 0 && ["a", "b", "a"].lastIndexOf("a") == 2 && ["a"].indexOf("z") == -1',
    '[1] + [2, 3] == [1, 2, 3] && 2 in [1, 2]',
    'sets.contains([1, 2, 3], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && sets.intersects([1], [1, 2])',
    '[3, 1, 2].sort() == [1, 2, 3] && [1, 2].reverse() == [2, 1] && [1, 1].distinct() == [1]',
    '[[1], [2]].flatten() == [1, 2] && [1, 2, 3].slice(1, 3) == [2, 3]',
  ],
  time: [
    'duration("1h30m") > duration("80m") && duration("1.5s") == duration("1500ms")',
    'timestamp("2024-02-29T12:00:00Z").getFullYear() == 2024',
    'timestamp("2024-02-29T12:00:00Z") + duration("24h") == timestamp("2024-03-01T12:00:00Z")',
    'timestamp("2024-01-01T00:00:00Z").getHours("+02:00") == 2',
    'timestamp("2024-07-01T00:00:00Z").getHours("Europe/Berlin") == 2',
    'timestamp("2024-01-01T00:00:00Z").getDayOfYear() == 0 && timestamp("2024-01-07T00:00:00Z").getDayOfWeek() == 0',
    'duration("1h1s").getMilliseconds() == 3601000',
    'type(duration("1s")) == google.protobuf.Duration && type(timestamp(0)) == google.protobuf.Timestamp',
    'duration("90m").getHours() == 1 && string(duration("90s")) == "90s"',
  ],
  quantities: [
    'quantity("1.5Gi").isGreaterThan(quantity("1Gi")) && isQuantity("100m") && !isQuantity("1x")',
    'quantity("500m").add(quantity("500m")) == quantity("1") && quantity("50k").sub(1000).asInteger() == 49000',
    'quantity("2").compareTo(quantity("2000m")) == 0 && quantity("-1").sign() == -1 && quantity("0.5").asApproximateFloat() == 0.5',
  ],
  urls: [
    'url("https://user:pw@example.com:8443/a%20b?x=1&x=2#f").getHost() == "example.com:8443"',
    'url("https://[::1]:80/").getHostname() == "::1" && url("https://e.dev:443/").getPort() == "443"',
    'url("https://e.dev/a/b").getEscapedPath() == "/a/b" && url("/only/path").getScheme() == ""',
    'url("https://e.dev/?k=a&k=b").getQuery()["k"] == ["a", "b"] && isURL("https://e.dev") && !isURL("../x")',
  ],
  addresses: [
    'isIP("10.0.0.1") && !isIP("10.0.0.256") && ip("::1").family() == 6 && ip("127.0.0.1").isLoopback()',
    'ip("2001:db8:0:0::1") == ip("2001:db8::1") && !ip.isCanonical("2001:DB8::1") && ip.isCanonical("2001:db8::1")',
    'cidr("10.0.0.0/8").containsIP("10.9.9.9") && !cidr("10.0.0.0/8").containsIP(ip("11.0.0.1"))',
    'cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16") && cidr("192.168.1.7/24").masked() == cidr("192.168.1.0/24")',
    'string(cidr("10.0.0.5/8").ip()) == "10.0.0.5" && cidr("::/0").prefixLength() == 0 && isCIDR("10.0.0.0/33") == false',
    'ip("8.8.8.8").isGlobalUnicast() && ip("fe80::1").isLinkLocalUnicast() && ip("0.0.0.0").isUnspecified()',
  ],
  formats: [
    '!format.dns1123Label().validate("my-name").hasValue()',
    'format.dns1123Label().validate("My Name").hasValue()',
    'format.named("uuid").value().validate("x").hasValue() && !format.named("nope").hasValue()',
    '!format.dns1123LabelPrefix().validate("my-").hasValue()',
  ],
  versions: [
    'semver("1.2.3").major() == 1 && semver("1.10.0").isGreaterThan(semver("1.9.9"))',
    'isSemver("1.0.0-rc.1") && !isSemver("v1.0") && isSemver("v1.0", true)',
    'semver("1.0.0-alpha").compareTo(semver("1.0.0")) == -1 && semver("1.0.0-2").isLessThan(semver("1.0.0-10"))',
  ],
};

for (const [about, expressions] of Object.entries(truths)) {
  describe(about, () => {
    for (const expression of expressions) {
      it(expression, () => assert.equal(run(expression), true));
    }
  });
}

describe('what fails when it runs', () => {
  const failures: readonly (readonly [string, RegExp])[] = [
    ['self.missing == 1', /no such key: missing/],
    ['1 / (self.count - 3) == 1', /division by zero/],
    ['9223372036854775807 + 1 > 0', /integer overflow/],
    ['[1][self.count] == 1', /index out of bounds: 3/],
    ['self.name + self.count == 1', /no such overload/],
    ['self.tags[0] > 1', /no such overload/],
    ['quantity(self.name) == quantity("1")', /quantities must match/],
    ['self.name.matches(self.name + "(")', /error parsing regexp/],
    ['timestamp(self.name) == timestamp(0)', /invalid timestamp/],
    ['optional.none().value()', /dereference/],
    ['self.tags.all(t, t)', /must be bool/],
    ['[].max() == 1', /empty list/],
  ];
  for (const [expression, message] of failures) {
    it(expression, () => {
      assert.throws(
        () => run(expression),
        (error: unknown) => error instanceof CelEvaluationError && message.test(error.message),
      );
    });
  }
});

describe('what does not compile', () => {
  const faults: readonly (readonly [string, RegExp])[] = [
    ['self.a +', /Syntax error/],
    ['x == 1', /undeclared reference to 'x'/],
    ['nope(1)', /undeclared reference to 'nope'/],
    ['1 + 1.0 == 2.0', /found no matching overload for '_\+_' applied to '\(int, double\)'/],
    ['"a".startsWith(1)', /found no matching overload for 'startsWith' applied to 'string\.\(int\)'/],
    ['1 && true', /found no matching overload for '_&&_'/],
    ['1 == "a"', /found no matching overload for '_==_'/],
    ['true ? 1 : "a"', /_\?_:_/],
    ['"a".matches("(")', /invalid matches argument: error parsing regexp/],
    ['duration("1d") > duration("1h")', /<input>:1:10: invalid duration argument/],
    ['[1, "a"] == []', /expected type 'int' but found 'string'/],
    ['1.all(x, x)', /cannot be range of a comprehension/],
    ['"a".b', /does not support field selection/],
    ['has(self)', /invalid argument to has\(\)/],
    ['[1].all(x.y, true)', /invalid predicate iteration variable/],
    [`${'('.repeat(300)}1${')'.repeat(300)}`, /./],
  ];
  for (const [expression, message] of faults) {
    it(expression.slice(0, 60), () => {
      assert.throws(
        () => run(expression),
        (error: unknown) => error instanceof CelCompileError && message.test(error.message),
      );
    });
  }
});

test('a fault is shown with its line and column', () => {
  assert.throws(() => run('self.on &&\n  nope(1)'), {
    message: "ERROR: <input>:2:3: undeclared reference to 'nope' (in container '')\n |   nope(1)\n | ..^",
  });
});

/** Compares two trees that share their branches: small to build, exponential to walk. */
function nested(depth: number): string {
  const names = ['p', 'q'].map((letter) => Array.from({ length: depth }, (_, i) => `${letter}${i}`));
  const binds = names.flatMap((chain) =>
    chain.map((name, i) => `cel.bind(${name}, ${i === 0 ? '[1]' : `[${chain[i - 1]}, ${chain[i - 1]}]`}, `),
  );
  const [p, q] = names.map((chain) => chain.at(-1));
  return `${binds.join('')}${p} == ${q}${')'.repeat(binds.length)}`;
}

describe('long chains of operators', () => {
  it('run up to a thousand, and are refused in words behind that', () => {
    assert.equal(run(`true${' && true'.repeat(990)}`), true);
    assert.equal(run(`0${' + 1'.repeat(990)} == 990`), true);
    for (const chain of [`true${'&&true'.repeat(15_000)}`, `0${'+1'.repeat(40_000)} == 1`]) {
      assert.throws(
        () => run(chain),
        (error) => error instanceof CelCompileError && /recursion limit exceeded/.test(error.message),
      );
    }
  });
});

describe('no expression outlives its budget', () => {
  const long = `[${'1,'.repeat(900)}1]`;
  const hostile = [
    `${long}.all(a, ${long}.all(b, ${long}.all(c, ${long}.all(d, true))))`,
    `${long}.map(a, ${long}.map(b, ${long}.map(c, "x"))).size() > 0`,
    nested(30),
    `${'cel.bind(s, s + s, '.repeat(60)}s.size() > 0${')'.repeat(60)}`.replace('s + s', '"abcdefgh"'),
    `"${'a'.repeat(5000)}!".matches("^(a+)+$") || ${long}.all(i, ${long}.all(j, !"${'a'.repeat(5000)}".matches("(a*)*(a*)*b")))`,
    `"${'x'.repeat(3000)}".replace("", "${'y'.repeat(3000)}").replace("", "${'z'.repeat(3000)}").size() > 0`,
    `${long}.all(a, sets.contains(${long}, ${long}))`,
  ];
  for (const [i, expression] of hostile.entries()) {
    it(`hostile expression ${i + 1}`, () => {
      const started = performance.now();
      assert.throws(() => run(expression, 10_000_000), BudgetError);
      assert.ok(performance.now() - started < 60_000, 'took too long');
    });
  }
});
