/** All reviews that the server answers. */
import type { ResourceDef } from '../../../api/resource.ts';
import type { Access } from '../access.ts';
import { accessReviews } from './access-reviews.ts';
import { authenticationReviews } from './authentication-reviews.ts';
import type { Review } from './review.ts';

export type { Review } from './review.ts';

export function makeReviews({ authorizer, tokens }: Access): ReadonlyMap<ResourceDef, Review> {
  return new Map([...accessReviews(authorizer), ...authenticationReviews(tokens)]);
}
