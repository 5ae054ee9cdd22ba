/**
 * The forms of names, labels and ports, with Kubernetes' words for what is wrong (apimachinery `util/validation`).
 * Each function returns the fault, or undefined when the text is well formed.
 */

function expectation(fault: string, example: string, expression: string): string {
  return `${fault} (e.g. ${example}, regex used for validation is '${expression}')`;
}

function exampleList(...examples: string[]): string {
  return examples.map((example) => `'${example}'`).join(',  or ');
}

const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const subdomain = `${label}(\\.${label})*`;
const qualified = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const labelValue = `(${qualified})?`;
const environmentName = '[-._a-zA-Z][-._a-zA-Z0-9]*';
const configKey = '[-._a-zA-Z0-9]+';

const labelForm = new RegExp(`^${label}$`);
const subdomainForm = new RegExp(`^${subdomain}$`);
const qualifiedForm = new RegExp(`^${qualified}$`);
const labelValueForm = new RegExp(`^${labelValue}$`);
const configKeyForm = new RegExp(`^${configKey}$`);

/** Container names, namespaces. At most 63 characters. */
export function dnsLabelFault(text: string): string | undefined {
  if (text.length > 63) return 'must be no more than 63 bytes';
  if (labelForm.test(text)) return undefined;
  return expectation(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
    exampleList('my-name', '123-abc'),
    label,
  );
}

/** Most object names. At most 253 characters. */
export function dnsSubdomainFault(text: string): string | undefined {
  if (text.length > 253) return 'must be no more than 253 bytes';
  if (subdomainForm.test(text)) return undefined;
  return expectation(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
    exampleList('example.com'),
    subdomain,
  );
}

/** Names of kinds that take nearly anything: what can stand in a path. */
export function pathSegmentFault(text: string): string | undefined {
  if (text === '.' || text === '..') return `may not be '${text}'`;
  return /[/%]/.test(text) ? "may not contain '/' or '%'" : undefined;
}

/** `prefix/name` of labels, annotations, finalizers and resource names. */
export function labelKeyFault(text: string): string | undefined {
  const parts = text.split('/');
  const name = parts.at(-1) ?? '';
  const form =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
  const example = (): string => exampleList('MyName', 'my.name', '123-abc');
  if (parts.length > 2) {
    const words = `a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character`;
    return `${expectation(words, example(), qualified)} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`;
  }
  if (parts.length === 2) {
    const prefix = parts[0] ?? '';
    if (prefix === '') return 'prefix part must be non-empty';
    const fault = dnsSubdomainFault(prefix);
    if (fault) return `prefix part ${fault}`;
  }
  if (name === '') return 'name part must be non-empty';
  if (name.length > 63) return 'name part must be no more than 63 bytes';
  return qualifiedForm.test(name) ? undefined : `name part ${expectation(form, example(), qualified)}`;
}

export function labelValueFault(text: string): string | undefined {
  if (text.length > 63) return 'must be no more than 63 bytes';
  if (labelValueForm.test(text)) return undefined;
  return expectation(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    exampleList('MyValue', 'my_value', '12345'),
    labelValue,
  );
}

/** Environment variable names: any printable ASCII except `=`. */
export function environmentNameFault(text: string): string | undefined {
  if (/^[ -<>-~]+$/.test(text)) return undefined;
  return expectation(
    "a valid environment variable name must consist only of printable ASCII characters other than '='",
    exampleList('my.env-name', 'MY_ENV.NAME', 'MyEnvName1'),
    environmentName,
  );
}

/** Keys of ConfigMaps and Secrets. */
export function configKeyFault(text: string): string | undefined {
  if (text.length > 253) return 'must be no more than 253 bytes';
  if (!configKeyForm.test(text)) {
    return expectation(
      "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
      exampleList('key.name', 'KEY_NAME', 'key-name'),
      configKey,
    );
  }
  if (text === '.') return "must not be '.'";
  if (text === '..') return "must not be '..'";
  return text.startsWith('..') ? "must not start with '..'" : undefined;
}

/** Names of container ports (IANA service names). */
export function portNameFault(text: string): string | undefined {
  if (text.length > 15) return 'must be no more than 15 characters';
  if (!/^[-a-z0-9]+$/.test(text))
    return 'must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)';
  if (!/[a-z]/.test(text)) return 'must contain at least one letter (a-z)';
  if (text.includes('--')) return 'must not contain consecutive hyphens';
  return text.startsWith('-') || text.endsWith('-') ? 'must not begin or end with a hyphen' : undefined;
}

export function portNumberFault(port: number): string | undefined {
  return port >= 1 && port <= 65535 ? undefined : 'must be between 1 and 65535, inclusive';
}
