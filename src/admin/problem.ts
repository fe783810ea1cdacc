// In: why a call of the operators' API failed. Out: an RFC 9457 problem document.
// Operators may read details that agents may not; secrets and stack traces stand in neither.
import type { FastifyReply } from "fastify";
import type { Result } from "../lib/result.ts";

export interface Problem {
  readonly status: number;
  /** Stable code, lower case. */
  readonly code: string;
  readonly detail: string;
  /** Sentences `member: how to mend it`, where the body or a parameter was wrong. */
  readonly errors?: readonly string[];
  /** The id under which the log holds the cause. */
  readonly id?: string;
}

const TITLES: Record<number, string> = {
  400: "The request is not valid.",
  401: "An operator's key is needed.",
  403: "This is not allowed.",
  404: "Not found.",
  405: "The method is not allowed here.",
  409: "The change conflicts with what is in force.",
  413: "The body is too large.",
  415: "The content type is not supported.",
  422: "The content was refused.",
  429: "Too many failed attempts.",
  500: "The gateway failed.",
  503: "Not available at the moment.",
  504: "No answer in time.",
};

export const PROBLEM_TYPE = "application/problem+json";

export function problemDocument(problem: Problem): Record<string, unknown> {
  const { status, code, detail, errors, id } = problem;
  return {
    type: "about:blank",
    title: TITLES[status] ?? "The request failed.",
    status,
    code,
    detail,
    ...(errors === undefined ? {} : { errors }),
    ...(id === undefined ? {} : { id }),
  };
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  // As a string: a route's response schema for success must not shape it.
  return reply
    .code(problem.status)
    .header("content-type", PROBLEM_TYPE)
    .serializer((text: string) => text)
    .send(JSON.stringify(problemDocument(problem)));
}

/** The value of a call that may be refused, or why it was. */
export function sendResult<T>(reply: FastifyReply, result: Result<T, Problem>): T | FastifyReply {
  return result.ok ? result.value : sendProblem(reply, result.error);
}

export function invalidRequest(errors: readonly string[]): Problem {
  return { status: 400, code: "invalid_request", detail: errors.join("; "), errors };
}
