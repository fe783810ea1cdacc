// In: a host name. Out: its addresses, every one of them checked. Trusts: the resolver for the answer, never for its safety.
//
// The socket connects to the addresses returned here, so a name that rebinds between check and connect gains nothing.
// One refused address refuses the name: a mixed answer is what a rebinding attack looks like.
import { lookup as resolve, type LookupAddress } from "node:dns";
import type { LookupFunction } from "node:net";
import { classifyAddress } from "./classify-address.ts";

/** The address that a tool's name has is not allowed. */
export class AddressRefusedError extends Error {
  readonly code = "ERR_ADDRESS_REFUSED";
}

export function isAddressAllowed(address: string, allowPrivate: boolean): boolean {
  const kind = classifyAddress(address);
  return kind === "public" || (kind === "private" && allowPrivate);
}

/** `node:dns` `lookup` with `all: true`, handed in by tests. */
export type ResolveAll = (
  hostname: string,
  options: { all: true; family: number; hints?: number },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** A `lookup` for `net.connect`; fails with AddressRefusedError. */
export function createPinnedLookup(allowPrivate: boolean, resolveAll: ResolveAll = resolve): LookupFunction {
  return (hostname, options, callback) => {
    const family =
      options.family === 4 || options.family === "IPv4" ? 4 : options.family === 6 || options.family === "IPv6" ? 6 : 0;
    resolveAll(
      hostname,
      { all: true, family, ...(options.hints === undefined ? {} : { hints: options.hints }) },
      (error, addresses) => {
        if (error !== null) {
          callback(error, "", 0);
          return;
        }
        const refused = addresses.find(({ address }) => !isAddressAllowed(address, allowPrivate));
        const first = addresses[0];
        if (refused !== undefined || first === undefined) {
          callback(new AddressRefusedError(`${hostname} resolves to ${refused?.address ?? "no address"}`), "", 0);
        } else if (options.all === true) {
          callback(null, addresses);
        } else {
          callback(null, first.address, first.family);
        }
      },
    );
  };
}
