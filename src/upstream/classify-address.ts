// In: the text of an IP address. Out: whether it is public, private or never a tool's address.
// Trusts: nothing; what is not recognised is never connected to.
//
// IPv6 is an allow-list (global unicast, RFC 4291 2.4), and every form that embeds an IPv4 address is judged by it.
import { isIPv4, isIPv6 } from "node:net";

/**
 * `public`: may be connected to. `private`: only where the upstream permits it. `never`: metadata services,
 * multicast, unspecified, reserved and translated forms, which no configuration permits.
 */
export type AddressKind = "public" | "private" | "never";

/** [first address, prefix length in bits]; the IANA special-purpose registry, RFC 6890. */
const PRIVATE_V4: readonly (readonly [string, number])[] = [
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
];

const NEVER_V4: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
  // Metadata and credential services of the clouds: a tool never lives there, and they give out secrets.
  ["169.254.169.254", 32],
  ["169.254.170.2", 32],
  ["169.254.170.23", 32],
  ["100.100.100.200", 32],
  ["168.63.129.16", 32],
];

const METADATA_V6 = new Set(["fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"].map((text) => groupsOf(text)?.join(":")));

/** Classifies a literal address; anything that is not one, or has a zone id, is `never`. */
export function classifyAddress(text: string): AddressKind {
  if (isIPv4(text)) return classifyV4(bitsOfV4(text));
  if (!isIPv6(text) || text.includes("%")) return "never";
  const groups = groupsOf(text);
  return groups === null ? "never" : classifyV6(groups);
}

function classifyV4(bits: number): AddressKind {
  if (NEVER_V4.some(([first, length]) => inRange(bits, first, length))) return "never";
  return PRIVATE_V4.some(([first, length]) => inRange(bits, first, length)) ? "private" : "public";
}

function inRange(bits: number, first: string, length: number): boolean {
  const size = 2 ** (32 - length);
  return Math.floor(bits / size) === Math.floor(bitsOfV4(first) / size);
}

function bitsOfV4(text: string): number {
  return text.split(".").reduce((bits, part) => bits * 256 + Number(part), 0);
}

function classifyV6(groups: readonly number[]): AddressKind {
  const [g0 = 0, g1 = 0, g2 = 0, g3 = 0, g4 = 0, g5 = 0, g6 = 0, g7 = 0] = groups;
  const lastV4 = g6 * 65_536 + g7;
  const zeroUpTo4 = g0 === 0 && g1 === 0 && g2 === 0 && g3 === 0 && g4 === 0;
  if (zeroUpTo4 && g5 === 0xffff) return classifyV4(lastV4); // IPv4-mapped
  if (zeroUpTo4 && g5 === 0 && g6 === 0 && g7 === 1) return "private"; // loopback
  if (g0 === 0x64 && g1 === 0xff9b && g2 === 0 && g3 === 0 && g4 === 0 && g5 === 0) return classifyV4(lastV4); // NAT64
  if (g0 === 0x2002) return classifyV4(g1 * 65_536 + g2); // 6to4
  if (METADATA_V6.has(groups.join(":"))) return "never";
  if ((g0 & 0xfe00) === 0xfc00 || (g0 & 0xffc0) === 0xfe80) return "private"; // unique-local, link-local
  if ((g0 & 0xe000) !== 0x2000) return "never";
  if (g0 === 0x2001 && g1 < 0x200) return "never"; // protocol assignments, Teredo among them
  if (g0 === 0x2001 && g1 === 0xdb8) return "never"; // documentation
  if (g0 === 0x3fff && g1 < 0x1000) return "never"; // documentation, RFC 9637
  return "public";
}

function groupsOf(text: string): number[] | null {
  const dotted = text.lastIndexOf(".") === -1 ? null : text.slice(text.lastIndexOf(":") + 1);
  let rest = text;
  if (dotted !== null) {
    const bits = bitsOfV4(dotted);
    const tail = `${Math.floor(bits / 65_536).toString(16)}:${(bits % 65_536).toString(16)}`;
    rest = text.slice(0, text.length - dotted.length) + tail;
  }
  const [left = "", right] = rest.split("::");
  const head = left === "" ? [] : left.split(":");
  const tail = right === undefined || right === "" ? [] : right.split(":");
  const missing = 8 - head.length - tail.length;
  if (missing < 0 || (right === undefined && missing !== 0)) return null;
  return [...head, ...Array<string>(missing).fill("0"), ...tail].map((group) => Number.parseInt(group, 16));
}
