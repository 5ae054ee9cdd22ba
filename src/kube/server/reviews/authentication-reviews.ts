/** `authentication.k8s.io/v1`: who am I (`kubectl auth whoami`), and whose token is this. */
import type { ResourceDef } from '../../../api/resource.ts';
import { ApiError } from '../../api-error.ts';
import type { ServiceAccountTokens } from '../authentication/tokens.ts';
import { userInfo } from '../authentication/user.ts';
import { reviewResource, text, texts, type Question, type Review } from './review.ts';

const group = 'authentication.k8s.io';

export function authenticationReviews(tokens: ServiceAccountTokens): (readonly [ResourceDef, Review])[] {
  return [
    reviewResource('authentication.v1.SelfSubjectReview', group, ({ user }) => ({
      userInfo: userInfo(user),
    })),
    reviewResource('authentication.v1.TokenReview', group, (question) => tokenStatus(tokens, question)),
  ];
}

/** Audiences are named in the answer only when the question names some. */
function tokenStatus(tokens: ServiceAccountTokens, { spec }: Question): object {
  const token = text(spec, 'token');
  if (token === '') throw new ApiError('BadRequest', 'token is required for TokenReview in authentication');
  const audiences = texts(spec, 'audiences');
  const verdict = tokens.verify(token, audiences.length > 0 ? audiences : undefined);
  if ('error' in verdict) return { user: {}, error: verdict.error };
  return {
    authenticated: true,
    user: userInfo(verdict.user),
    ...(audiences.length > 0 ? { audiences: verdict.audiences } : {}),
  };
}
