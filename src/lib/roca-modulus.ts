// In: an RSA modulus. Out: whether it has the fingerprint of the ROCA weakness (CVE-2017-15361).
// Such a modulus can be factored, so a signature by it proves nothing.

/** Primes of the published fingerprint (Nemec et al., "The Return of Coppersmith's Attack", CCS 2017). */
const FINGERPRINT_PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157] as const;
/** The weak generator made primes of the form k * M + (65537^a mod M). */
const GENERATOR = 65_537;

const RESIDUES = FINGERPRINT_PRIMES.map((prime) => {
  const residues = new Set<number>();
  for (let power = 1; !residues.has(power); power = (power * (GENERATOR % prime)) % prime) residues.add(power);
  return { prime: BigInt(prime), residues };
});

/** True where the modulus lies, for every prime, in the subgroup that 65537 generates; by chance about 1 in 2^27. */
export function isRocaModulus(modulus: bigint): boolean {
  return RESIDUES.every(({ prime, residues }) => residues.has(Number(modulus % prime)));
}
