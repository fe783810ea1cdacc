// In: the policy input as two JSON texts. Out: a decision with the revision that made it, or a denial.
// Knows which policy is in force on this thread, writes the watchdog's words around each evaluation, refuses suspensions.
import { type Denial, deny } from "../../errors.ts";
import { err, type Result } from "../../lib/result.ts";
import type { Decision, LoadedPolicyMessage, PolicyRevision, ResponseVerdict } from "../../policy/decision.ts";
import type { SplitInput } from "../../policy/create-instance.ts";
import type { Evaluator } from "../../policy/evaluator.ts";
import { RESPONSE_ENTRYPOINT } from "../../policy/parse-bundle.ts";
import type { EvaluationWatch } from "../evaluation-watch.ts";
import { hashAgent } from "../evaluation-watch.ts";
import type { Suspension } from "../thread-messages.ts";

export interface Evaluation<T> {
  readonly result: Result<T, Denial>;
  readonly revision: PolicyRevision | undefined;
  readonly evaluationUs: number;
}
export type Judgement = Evaluation<Decision>;

export interface GateInput {
  readonly split: SplitInput;
  readonly timeMs: number;
  readonly route: number;
  readonly agentId: string;
}

/** Made once, not for each exchange. */
const DECIDE = (evaluator: Evaluator, { split, timeMs }: GateInput): Result<Decision, Denial> =>
  evaluator.decideSplit(split, timeMs);
const CHOOSE = (evaluator: Evaluator, { split, timeMs }: GateInput): Result<ReadonlySet<string>, Denial> =>
  evaluator.visibleSplit(split, timeMs);
const RESPOND = (evaluator: Evaluator, { split, timeMs }: GateInput): Result<ResponseVerdict, Denial> =>
  evaluator.respondSplit(split, timeMs);

/** The braces and the comma of a whole input. */
const INPUT_PUNCTUATION = 3;

export interface PolicyGate {
  readonly revision: PolicyRevision | undefined;
  /** Bundle and data revision as one text; changes whenever the policy does. */
  readonly revisionKey: string;
  /** The switch is atomic: an exchange is judged by the old policy or by the new one. */
  load(policy: LoadedPolicyMessage): void;
  suspend(suspension: Suspension): void;
  decide(input: GateInput): Judgement;
  /** The names of a list that may be shown; the same budget and the same suspensions hold. */
  visible(input: GateInput): Evaluation<ReadonlySet<string>>;
  /** What is to become of an answer; likewise. */
  respond(input: GateInput): Evaluation<ResponseVerdict>;
  /** Whether the policy in force can judge answers. */
  readonly judgesResponses: boolean;
}

export function createPolicyGate(options: {
  readonly thread: number;
  readonly watch: EvaluationWatch;
  readonly monotonicMs: () => number;
  readonly budgetMs: number;
  readonly inputBytesMax: number;
  readonly memoryPagesMax: number;
  readonly createEvaluator: (options: {
    module: WebAssembly.Module;
    dataJson: string;
    memoryPagesMax: number;
  }) => Evaluator;
}): PolicyGate {
  const { thread, watch, monotonicMs, budgetMs } = options;
  let evaluator: Evaluator | undefined;
  let revision: PolicyRevision | undefined;
  let revisionKey = "";
  const suspendedRevisions = new Set<string>();
  const suspendedAgents = new Set<string>();

  function refuse(denial: Denial): Evaluation<never> {
    return { result: err(denial), revision, evaluationUs: 0 };
  }

  function evaluate<T>(
    input: GateInput,
    ask: (evaluator: Evaluator, input: GateInput) => Result<T, Denial>,
  ): Evaluation<T> {
    const { split, route, agentId } = input;
    if (evaluator === undefined) return refuse(deny("policy.not_loaded"));
    if (split.claims.length + split.rest.length + INPUT_PUNCTUATION > options.inputBytesMax)
      return refuse(deny("policy.input_too_large"));
    const agentHash = hashAgent(agentId);
    if (suspendedRevisions.has(`${route} ${revisionKey}`) || suspendedAgents.has(`${route} ${agentHash}`)) {
      return refuse(deny("policy.suspended"));
    }
    const startedMs = monotonicMs();
    watch.begin(thread, route, agentHash, startedMs);
    const result = ask(evaluator, input);
    watch.end(thread);
    const tookMs = monotonicMs() - startedMs;
    const evaluationUs = Math.round(tookMs * 1000);
    if (tookMs > budgetMs) return { result: err(deny("policy.late", `${evaluationUs} us`)), revision, evaluationUs };
    return { result, revision, evaluationUs };
  }

  return {
    get revision() {
      return revision;
    },
    get revisionKey() {
      return revisionKey;
    },
    load(policy) {
      // Throws where the module or the data does not load: the one before then stays in force.
      evaluator = options.createEvaluator({
        module: policy.module,
        dataJson: policy.dataJson,
        memoryPagesMax: options.memoryPagesMax,
      });
      revision = policy.revision;
      revisionKey = `${policy.revision.bundle} ${policy.revision.data}`;
    },
    suspend(suspension) {
      if (suspension.revision !== undefined) suspendedRevisions.add(`${suspension.route} ${suspension.revision}`);
      if (suspension.agentHash !== undefined) suspendedAgents.add(`${suspension.route} ${suspension.agentHash}`);
    },
    decide: (input) => evaluate(input, DECIDE),
    visible: (input) => evaluate(input, CHOOSE),
    respond: (input) => evaluate(input, RESPOND),
    get judgesResponses() {
      return evaluator?.has(RESPONSE_ENTRYPOINT) === true;
    },
  };
}
