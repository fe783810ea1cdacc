// In: nothing; types only. Out: what every route of the operators' API is given.
import type { FastifyReply, FastifyRequest } from "fastify";
import type { ControlPlane } from "./control-plane.ts";
import type { Operator, Operators, Permission, Role } from "./operators.ts";

/** Who did or tried what, and why. One for each change, also for those that were refused. */
export interface ChangeRecord {
  readonly operator: string;
  readonly role: Role;
  /** `containment.blocked`, `containment.release`, `policy.reload`, `policy.data`, `operators.add`, `keys.rotate`, `operators.remove` .. */
  readonly action: string;
  readonly target: string;
  readonly reason: string;
  /** `denied`: the role does not allow it. `refused`: it was not valid or not possible. `failed`: the gateway failed. */
  readonly outcome: "applied" | "denied" | "refused" | "failed";
  readonly detail?: string;
}

export interface AdminContext {
  readonly control: ControlPlane;
  readonly operators: Operators;
  readonly nowMs: () => number;
  readonly logChange: (change: ChangeRecord) => void;
}

declare module "fastify" {
  interface FastifyRequest {
    /** Set before any handler of a route under /v1 runs. */
    operator: Operator | null;
    rawJson: string;
  }
  interface FastifyContextConfig {
    permission?: Permission;
  }
}

export type AdminHandler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

/** The operator of a request that passed the key check. */
export function operatorOf(request: FastifyRequest): Operator {
  if (request.operator === null) throw new Error("a route under /v1 ran without an operator");
  return request.operator;
}
