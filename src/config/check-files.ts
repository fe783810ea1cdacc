// In: a configuration with absolute paths. Out: a problem for every file that cannot be used as what it is named for.
// Each file is read once here, so that a missing key is found before the first socket is open.
import { createPrivateKey, createPublicKey, type JsonWebKeyInput, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { parseStrictObject } from "../lib/strict-json.ts";
import type { Report } from "./config-problem.ts";
import type { ConfigView, ParsedConfig } from "./config-view.ts";
import { readOperations } from "./openapi/read-document.ts";
import { readSecret } from "./read-secret.ts";

type Upstream = ParsedConfig["routes"][number]["upstream"];

/** Larger than any certificate bundle, key set or policy data; keeps a device or a log file from being read whole. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;

/** What the gateway reads of a key set, from wherever it comes. */
const KEY_SET_BYTES_MAX = 262_144;

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export function checkFiles(view: ConfigView, env: NodeJS.ProcessEnv, report: Report): void {
  view.listeners.forEach((listener, index) => {
    if (listener?.tls === undefined) return;
    const path = `listeners[${index}].tls`;
    checkPair(`${path}.certificate`, listener.tls.certificate, `${path}.key`, listener.tls.key, report);
    if (listener.tls.client_ca !== undefined) readCertificates(`${path}.client_ca`, listener.tls.client_ca, report);
  });
  view.issuers.forEach((issuer, index) => {
    if (issuer !== undefined && "file" in issuer.jwks) {
      const path = `issuers[${index}].jwks.file`;
      checkKeySet(path, issuer.jwks.file, report);
      if (issuer.kind === "spiffe") checkBundle(path, issuer.jwks.file, report);
    }
  });
  view.routes.forEach((route, index) => {
    if (route === undefined) return;
    checkUpstream(`routes[${index}].upstream`, route.upstream, env, report);
    const operations = readOperations(route);
    if (operations.ok) return;
    const mend = "Mend the document, or narrow `path` and `methods` of the route to what it describes.";
    for (const { where, problem } of operations.error) {
      report(`routes[${index}].openapi.file${where === "" ? "" : ` ${where}`}`, problem, mend);
    }
  });
  if (view.quarantine !== undefined) checkUpstream("quarantine.monitor", view.quarantine.monitor, env, report);
  for (const list of ["clients", "applications", "publishers", "resource_servers"] as const) {
    view.broker?.[list].forEach(({ jwks }, index) => checkKeySet(`broker.${list}[${index}].jwks`, jwks, report));
  }
  view.broker?.identity_providers.forEach(({ jwks }, index) => {
    if ("file" in jwks) checkKeySet(`broker.identity_providers[${index}].jwks.file`, jwks.file, report);
  });
  if (view.policy?.bundle !== undefined) readText("policy.bundle", view.policy.bundle, report);
  if (view.policy?.source !== undefined) checkFolder("policy.source", view.policy.source, report);
  if (view.policy?.data !== undefined) readJson("policy.data", view.policy.data, report);
}

function checkUpstream(path: string, upstream: Upstream, env: NodeJS.ProcessEnv, report: Report): void {
  if (upstream.ca !== undefined) readCertificates(`${path}.ca`, upstream.ca, report);
  const { client_certificate: certificate, client_key: key } = upstream;
  if (certificate !== undefined && key !== undefined) {
    checkPair(`${path}.client_certificate`, certificate, `${path}.client_key`, key, report);
  }
  if (upstream.credential === undefined) return;
  const secret = readSecret(upstream.credential.from, env);
  if (secret.ok) return;
  const mend = "Provide the secret, and let the account that runs Cordon read it.";
  report(`${path}.credential.from`, `The secret cannot be had: ${secret.error}.`, mend);
}

function checkPair(certificatePath: string, certificateFile: string, keyPath: string, keyFile: string, report: Report) {
  const leaf = readCertificates(certificatePath, certificateFile, report)?.[0];
  const text = readText(keyPath, keyFile, report)?.toString("utf8");
  if (text === undefined) return;
  const key = attempt(() => createPrivateKey(text));
  if (key === undefined) {
    return report(
      keyPath,
      `${keyFile} is not a private key in PEM.`,
      "Name a PEM file with an unencrypted private key.",
    );
  }
  if (leaf !== undefined && !leaf.checkPrivateKey(key)) {
    report(keyPath, "This key does not belong to the certificate.", "Name the key that the certificate was made for.");
  }
}

function readCertificates(path: string, file: string, report: Report): X509Certificate[] | undefined {
  const text = readText(path, file, report)?.toString("utf8");
  if (text === undefined) return undefined;
  const blocks = text.match(PEM_CERTIFICATE) ?? [];
  const certificates = attempt(() => blocks.map((block) => new X509Certificate(block)));
  if (certificates !== undefined && certificates.length > 0) return certificates;
  report(path, `${file} holds no certificate in PEM, or a broken one.`, "Name a PEM file with the certificate first.");
  return undefined;
}

function checkKeySet(path: string, file: string, report: Report): void {
  const value = readJson(path, file, report);
  if (value === undefined) return;
  const bytes = attempt(() => readFileSync(file)) ?? Buffer.alloc(0);
  if (bytes.length > KEY_SET_BYTES_MAX) {
    return report(path, `${file} is larger than ${KEY_SET_BYTES_MAX} bytes.`, "Keep only the keys in use.");
  }
  if (parseStrictObject(bytes) === undefined) {
    return report(path, `${file} says a member twice, or is no object.`, "Mend the file.");
  }
  const keys = typeof value === "object" && value !== null && "keys" in value ? value.keys : undefined;
  if (!Array.isArray(keys) || keys.length === 0) {
    return report(path, `${file} is not a JWKS: it has no \`keys\`.`, 'Write `{ "keys": [ … ] }` with public keys.');
  }
  const list: unknown[] = keys;
  if (list.some((key) => typeof key === "object" && key !== null && ("d" in key || "k" in key))) {
    return report(
      path,
      `${file} holds a private or a shared key.`,
      "Keep only the public members, and replace that key.",
    );
  }
  const usable = list.some((key) =>
    attempt(() => createPublicKey({ key: key as JsonWebKeyInput["key"], format: "jwk" })),
  );
  if (!usable) report(path, `${file} has no key that can be used.`, "Write at least one EC, OKP or RSA public key.");
}

/** SPIFFE bundle format, section 4: what an element is for is said by `use`, and one without it is for nothing. */
function checkBundle(path: string, file: string, report: Report): void {
  const bundle = attempt(() => JSON.parse(readFileSync(file, "utf8")) as { keys?: unknown });
  // Whatever else is wrong with the file is told already.
  if (!Array.isArray(bundle?.keys)) return;
  const keys: unknown[] = bundle.keys;
  const verifies = (key: unknown) => typeof key === "object" && key !== null && "use" in key && key.use === "jwt-svid";
  if (keys.some(verifies)) return;
  const mend =
    "Name the trust domain's bundle in SPIFFE format, as `spire-server bundle show -format spiffe` prints it.";
  report(path, `${file} has no key for JWT-SVIDs (\`use: jwt-svid\`).`, mend);
}

function readJson(path: string, file: string, report: Report): unknown {
  const text = readText(path, file, report)?.toString("utf8");
  if (text === undefined) return undefined;
  const parsed = attempt(() => ({ value: JSON.parse(text) as unknown }));
  if (parsed === undefined) report(path, `${file} is not well-formed JSON.`, "Mend the file.");
  return parsed?.value;
}

function readText(path: string, file: string, report: Report): Buffer | undefined {
  try {
    const facts = statSync(file);
    if (!facts.isFile()) {
      report(path, `${file} is not a file.`, "Name a file.");
    } else if (facts.size > FILE_BYTES_MAX) {
      report(path, `${file} is larger than ${FILE_BYTES_MAX} bytes.`, "Name the right file.");
    } else {
      return readFileSync(file);
    }
  } catch (error) {
    reportUnreadable(path, file, error, report);
  }
  return undefined;
}

function checkFolder(path: string, folder: string, report: Report): void {
  try {
    if (!statSync(folder).isDirectory()) report(path, `${folder} is not a folder.`, "Name a folder.");
  } catch (error) {
    reportUnreadable(path, folder, error, report);
  }
}

function reportUnreadable(path: string, file: string, error: unknown, report: Report): void {
  const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
  if (code === "ENOENT" || code === "ENOTDIR") {
    return report(
      path,
      `There is no ${file}.`,
      "Create it, or correct the path; it is relative to the configuration file.",
    );
  }
  report(path, `${file} cannot be read (${code}).`, "Let the account that runs Cordon read it.");
}

/** The parsers of node:crypto and JSON throw on what they refuse; here that is an expected answer. */
function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}
