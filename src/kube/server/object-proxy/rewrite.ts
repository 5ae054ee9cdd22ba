/**
 * Links of pages that are seen through a proxy (apimachinery `proxy.Transport`): those to the root of the server get the
 * path of the proxy before them. Pure.
 */

const elements = /<[a-z][^<>]*>/gi;
/** Attributes that hold a link, those of HTML 4 and 5. */
const links =
  /(\s(?:href|src|action|formaction|background|cite|codebase|data|longdesc|manifest|poster|profile|usemap|icon)\s*=\s*)("[^"]*"|'[^']*'|[^\s"'<>]+)/gi;

export interface Seen {
  /** `/api/v1/namespaces/default/pods/web/proxy`. */
  readonly prefix: string;
  /** Hosts that mean this server: what the client dialled, and the target. */
  readonly hosts: readonly string[];
}

/** Links elsewhere, relative ones, and those that have the prefix already stay as they are. */
export function rewriteLink(link: string, { prefix, hosts }: Seen): string {
  const match = /^(?:(?:https?:)?\/\/([^/?#]*))?(\/[^?#]*)(.*)$/is.exec(link);
  if (!match) return link;
  const [, host = '', path = '', rest = ''] = match;
  if (host !== '' && !hosts.includes(host)) return link;
  if (path === prefix || path.startsWith(`${prefix}/`)) return link;
  return `${prefix}${path}${rest}`;
}

/** Every link of a page. */
export function rewritePage(page: string, seen: Seen): string {
  return page.replace(elements, (element) =>
    element.replace(links, (_all, before: string, value: string) => {
      const quote = /^["']/.exec(value)?.[0] ?? '';
      const link = quote === '' ? value : value.slice(1, -1);
      return `${before}${quote}${rewriteLink(link, seen)}${quote}`;
    }),
  );
}
