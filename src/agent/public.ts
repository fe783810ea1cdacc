// The package's `cordon/agent`: all that is promised to those who import it, in one place. Nothing in here imports it.
export { CordonError, type CordonErrorCode } from "./cordon-error.ts";
export { type Agent, type AgentOptions, createAgent } from "./create-agent.ts";
export {
  createDelegation,
  type Delegation,
  type DelegationRequest,
  type DelegatorCredentials,
} from "./create-delegation.ts";
export { createDpopFetch, type DpopFetchOptions } from "./create-dpop-fetch.ts";
export { createDpopProof, type ProofRequest } from "./create-dpop-proof.ts";
export { type AgentKey, createKey, type KeyAlgorithm, parseKey, type PublicJwk } from "./create-key.ts";
export {
  createLauncher,
  type Launch,
  type Launcher,
  type LauncherOptions,
  type LaunchRequest,
} from "./create-launcher.ts";
export { createOAuthFetch, type OAuthFetchOptions } from "./create-oauth-fetch.ts";
export { type McpTransportOptions, mcpTransportOptions } from "./mcp-options.ts";
