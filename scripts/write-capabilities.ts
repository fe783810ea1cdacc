// In: `opa capabilities --current`. Out: policies/capabilities.json: what OPA compiles to WebAssembly natively,
// and what Cordon provides itself. Run it after a change of either; a test compares the file with its sources.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { CAPABILITIES_FILE } from "../src/admin/policy-source.ts";
import { locateOpa } from "../src/admin/opa.ts";
import { HOST_BUILTINS } from "../src/policy/builtins.ts";

/** OPA v1.22.2, internal/compiler/wasm/wasm.go `builtinsFunctions`, and what the compiler rewrites away. */
const NATIVE = `
  plus minus mul div abs round ceil floor rem array.concat array.flatten array.reverse array.slice and or intersection union
  is_number is_string is_boolean is_array is_set is_object is_null type_name bits.or bits.and bits.negate bits.xor bits.lsh
  bits.rsh count sum product max min sort base64.is_valid base64.decode base64.encode base64url.encode base64url.decode
  net.cidr_contains net.cidr_intersects equal gt gte lt lte neq glob.match json.marshal json.unmarshal json.is_valid
  object.filter object.get object.keys object.remove object.union object.union_n concat format_int indexof substring lower upper
  contains startswith endswith strings.reverse split replace strings.replace_n trim trim_left trim_prefix trim_right trim_suffix
  trim_space internal.template_string numbers.range to_number walk graph.reachable regex.is_valid regex.match
  regex.find_all_string_submatch_n json.remove json.filter internal.member_2 internal.member_3
  eq assign print internal.print`
  .trim()
  .split(/\s+/);

interface Capabilities {
  readonly builtins: readonly { readonly name: string }[];
  readonly features: readonly string[];
}

/** The text of the file. Throws where a name is unknown to this `opa`. */
export function capabilitiesText(current: string): string {
  const all = JSON.parse(current) as Capabilities;
  const wanted = new Set([...NATIVE, ...HOST_BUILTINS.keys()]);
  const builtins = all.builtins.filter(({ name }) => wanted.has(name));
  const known = new Set(builtins.map(({ name }) => name));
  const missing = [...wanted].filter((name) => !known.has(name));
  if (missing.length > 0) throw new Error(`opa does not know: ${missing.join(", ")}`);
  const minimal = { ...all, builtins, allow_net: [], wasm_abi_versions: [{ version: 1, minor_version: 3 }] };
  return `${JSON.stringify(minimal)}\n`;
}

if (import.meta.main) {
  const opa = await locateOpa();
  if (!opa.ok) throw new Error(opa.error);
  writeFileSync(
    CAPABILITIES_FILE,
    capabilitiesText(execFileSync(opa.value, ["capabilities", "--current"], { encoding: "utf8" })),
  );
}
