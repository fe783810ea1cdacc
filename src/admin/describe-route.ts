// In: what a route does, answers and takes. Out: its schema; a failure is a problem document on every route.
import * as schemas from "./schemas.ts";

export function describeRoute(summary: string, answer: object, body?: object, params?: object) {
  return {
    summary,
    ...(body === undefined ? {} : { body }),
    ...(params === undefined ? {} : { params }),
    response: { 200: answer, default: schemas.PROBLEM },
  };
}
