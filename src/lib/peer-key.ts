// In: the address of a connection's other end. Out: the key under which limits count it as one peer.
// An IPv6 host chooses freely within its /64 (RFC 4291 section 2.5.1), so all of a /64 is one peer.

/** Groups of an IPv6 address that name its network. */
const NETWORK_GROUPS = 4;
const GROUPS = 8;
const MAPPED_V4 = "::ffff:";

/** `address` as `socket.remoteAddress` gives it: compressed, lower case, perhaps with a zone. */
export function peerKey(address: string): string {
  if (!address.includes(":")) return address;
  // A dual-stack listener sees IPv4 peers in this form.
  if (address.startsWith(MAPPED_V4) && address.includes(".")) return address.slice(MAPPED_V4.length);
  const [head = "", tail] = (address.split("%", 1)[0] ?? "").split("::");
  const groups = head === "" ? [] : head.split(":");
  const behind = tail === undefined || tail === "" ? 0 : tail.split(":").length;
  // Where `::` stands behind the network, what it hides is not part of the key; where it stands within, it is zeros.
  if (tail !== undefined) {
    while (groups.length < GROUPS - behind) groups.push("0");
    if (tail !== "") groups.push(...tail.split(":"));
  }
  return `${groups.slice(0, NETWORK_GROUPS).join(":")}::/64`;
}
