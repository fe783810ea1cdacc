// In: a port and a SQLite file. Out: a small applicant-tracking service on loopback, the tool of the quickstart.
// It has no access control of its own, like many internal tools: that is what the gateway in front of it is for.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { listenOnLoopback } from "../listen-on-loopback.ts";
import { readBody } from "../read-body.ts";
import { createSeenRequests } from "../seen-requests.ts";
import { type Candidate, type CandidateStore, createCandidateStore } from "./candidate-store.ts";

/** A score is a number and a comment; 64 KiB leaves room for a long one. */
const BODY_BYTES_MAX = 65_536;
const COMMENT_CHARACTERS_MAX = 4000;
const SCORE_MAX = 100;

export interface Ats {
  readonly url: string;
  /** Requests received since the start, without those for `/_seen`. */
  requests(): number;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly allow?: string;
}

const notFound = (what: string): Answer => ({ status: 404, body: { error: "not_found", message: `no such ${what}` } });
const badRequest = (message: string): Answer => ({ status: 400, body: { error: "bad_request", message } });

/** Starts the service; `port` 0 takes a free one. Rejects when the port is taken or the file cannot be opened. */
export async function startAts(options: { port: number; file: string }): Promise<Ats> {
  const store = createCandidateStore(options.file);
  const seen = createSeenRequests();

  const server = createServer((request, response) => {
    if (request.url === "/_seen") return send(response, { status: 200, body: seen.asJson() });
    seen.add(request);
    answer(store, request).then(
      (result) => send(response, result),
      (error: unknown) => {
        console.error("ats: request failed:", error instanceof Error ? error.message : error);
        if (!response.headersSent) send(response, { status: 500, body: { error: "internal_error" } });
      },
    );
    return undefined;
  });

  const listening = await listenOnLoopback(server, options.port).catch((error: unknown) => {
    store.close();
    throw error;
  });
  return {
    url: listening.url,
    requests: () => seen.count(),
    async close() {
      await listening.close();
      store.close();
    },
  };
}

async function answer(store: CandidateStore, request: IncomingMessage): Promise<Answer> {
  const body = await readBody(request, BODY_BYTES_MAX);
  if (body === undefined) return { status: 413, body: { error: "body_too_large" } };

  const path = (request.url ?? "").split("?", 1)[0] ?? "";
  const match = /^\/jobs\/([^/]+)\/candidates(?:\/([^/]+)(?:\/(salary|score|scores))?)?$/.exec(path);
  if (match === null) return notFound("path");
  const [, jobId = "", candidateId, part] = match;

  const expected = part === "score" ? "POST" : "GET";
  if (request.method !== expected) {
    return { status: 405, body: { error: "method_not_allowed", message: `use ${expected}` }, allow: expected };
  }
  const status = store.jobStatus(jobId);
  if (status === undefined) return notFound("job");
  if (candidateId === undefined) {
    const candidates = store.candidates(jobId).map(toSummary);
    return { status: 200, body: { job_id: jobId, status, candidates } };
  }
  const candidate = store.candidate(jobId, candidateId);
  if (candidate === undefined) return notFound("candidate");

  if (part === "salary") return { status: 200, body: { candidate_id: candidateId, salary: candidate.salary } };
  if (part === "scores") return { status: 200, body: { scores: store.scores(jobId, candidateId) } };
  if (part === "score") return addScore(store, jobId, candidateId, body);
  return { status: 200, body: candidate };
}

/** The list shows whom there is; notes and salary are in the record of one candidate only. */
function toSummary({ candidate_id, name, skills, classification }: Candidate) {
  return { candidate_id, name, skills, classification };
}

function addScore(store: CandidateStore, jobId: string, candidateId: string, body: string): Answer {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return badRequest("the body is not JSON");
  }
  if (typeof parsed !== "object" || parsed === null) return badRequest("the body is not a JSON object");
  const { score, comment = "" } = parsed as { score?: unknown; comment?: unknown };
  if (typeof score !== "number" || score < 0 || score > SCORE_MAX) {
    return badRequest(`score must be a number from 0 to ${SCORE_MAX}`);
  }
  if (typeof comment !== "string" || comment.length > COMMENT_CHARACTERS_MAX) {
    return badRequest(`comment must be text of at most ${COMMENT_CHARACTERS_MAX} characters`);
  }
  return { status: 201, body: store.addScore(jobId, candidateId, score, comment) };
}

function send(response: ServerResponse, { status, body, allow }: Answer): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    ...(allow === undefined ? {} : { allow }),
  });
  response.end(text);
}
