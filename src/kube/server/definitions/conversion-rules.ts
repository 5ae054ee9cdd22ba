/** Rules of `spec.conversion` of a CustomResourceDefinition. */
import type { Issue } from '../../../api/resource.ts';
import type { Definition } from './definition.ts';

/** What this server can send and read, the better first. */
export const reviewVersions = ['v1', 'v1beta1'];

export function conversionIssues({ conversion }: Definition['spec']): Issue[] {
  if (!conversion) return [];
  const { strategy, webhook } = conversion;
  const path = 'spec.conversion';
  if (strategy !== 'None' && strategy !== 'Webhook') {
    const detail = 'supported values: "None", "Webhook"';
    return [{ type: 'NotSupported', path: `${path}.strategy`, value: strategy, detail }];
  }
  if (strategy === 'None') {
    if (!webhook) return [];
    const detail = 'should not be set when strategy is not set to Webhook';
    return [{ type: 'Forbidden', path: `${path}.webhook`, detail }];
  }
  const at = `${path}.webhook`;
  if (!webhook?.clientConfig) {
    const detail = 'required when strategy is set to Webhook';
    return [{ type: 'Required', path: `${at}.clientConfig`, detail }];
  }
  const issues: Issue[] = [];
  const versions = webhook.conversionReviewVersions;
  if (versions.length === 0) {
    issues.push({ type: 'Required', path: `${at}.conversionReviewVersions`, detail: '' });
  } else if (!versions.some((version) => reviewVersions.includes(version))) {
    const detail = `must include at least one of ${reviewVersions.join(', ')}`;
    issues.push({ type: 'Invalid', path: `${at}.conversionReviewVersions`, value: versions, detail });
  }
  versions.forEach((version, i) => {
    if (versions.indexOf(version) === i) return;
    const here = `${at}.conversionReviewVersions[${i}]`;
    issues.push({ type: 'Invalid', path: here, value: version, detail: 'duplicate version' });
  });
  const { url, service } = webhook.clientConfig;
  if ((url === undefined) === (service === undefined)) {
    const detail = 'exactly one of url or service is required';
    issues.push({ type: 'Required', path: `${at}.clientConfig`, detail });
  }
  if (url !== undefined) issues.push(...urlIssues(url, `${at}.clientConfig.url`));
  if (service) {
    const here = `${at}.clientConfig.service`;
    if (!service.name)
      issues.push({ type: 'Required', path: `${here}.name`, detail: 'service name is required' });
    if (!service.namespace) {
      issues.push({ type: 'Required', path: `${here}.namespace`, detail: 'service namespace is required' });
    }
    if (service.path && !service.path.startsWith('/')) {
      const detail = "must start with a '/'";
      issues.push({ type: 'Invalid', path: `${here}.path`, value: service.path, detail });
    }
    const { port } = service;
    if (port !== undefined && (port < 1 || port > 65535)) {
      const detail = 'port is not valid: must be between 1 and 65535, inclusive';
      issues.push({ type: 'Invalid', path: `${here}.port`, value: port, detail });
    }
  }
  return issues;
}

function urlIssues(text: string, path: string): Issue[] {
  const form = 'desired format: https://host[/path]';
  const invalid = (detail: string): Issue[] => [{ type: 'Invalid', path, value: text, detail }];
  if (!URL.canParse(text)) return invalid(`url must be a valid URL: ${form}`);
  const url = new URL(text);
  if (url.protocol !== 'https:') return invalid(`'https' is the only allowed URL scheme; ${form}`);
  if (url.hostname === '') return invalid(`host must be specified; ${form}`);
  if (url.username !== '' || url.password !== '')
    return invalid('user information is not permitted in the URL');
  if (url.hash !== '') return invalid('fragments are not permitted in the URL');
  if (url.search !== '') return invalid('query parameters are not permitted in the URL');
  return [];
}
