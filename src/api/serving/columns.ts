/** What all kinds of the group share when printed and refused. */

/** The webhook that refusals name. */
export const servingWebhook = 'validation.webhook.serving.knative.dev';

/** Columns that the lists end with. */
export const readyColumns = [
  { name: 'Ready', type: 'string', jsonPath: ".status.conditions[?(@.type=='Ready')].status" },
  { name: 'Reason', type: 'string', jsonPath: ".status.conditions[?(@.type=='Ready')].reason" },
] as const;
