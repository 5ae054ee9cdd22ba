/** The small part of Go's text/template that domain and tag templates use: fields and `index` into a map. */

export type TemplateValue = string | { readonly [key: string]: string };

/** Fills a template. Throws when it uses anything but `{{.Field}}` and `{{index .Map "key"}}`, or an unknown field. */
export function fillTemplate(template: string, values: { readonly [name: string]: TemplateValue }): string {
  return template.replaceAll(/\{\{-?([^}]*?)-?\}\}/g, (whole, inner: string) => {
    const field = /^\s*\.(\w+)\s*$/.exec(inner)?.[1];
    if (field !== undefined) {
      const value = values[field];
      if (typeof value === 'string') return value;
      throw new Error(`error executing template: ${whole}: no text field ${field}`);
    }
    const [, map, key] = /^\s*index\s+\.(\w+)\s+"([^"]*)"\s*$/.exec(inner) ?? [];
    const value = map === undefined ? undefined : values[map];
    if (key !== undefined && typeof value === 'object') return value[key] ?? '';
    throw new Error(`error executing template: ${whole}: only fields and index of a map are supported`);
  });
}
