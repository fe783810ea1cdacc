// In: nothing. Out: how far ahead of the issuer's clock a client assertion may be dated.
// For the issuer, which accepts them, and for the gateway: after an end, none from that time may be accepted again.
export const ASSERTIONS_AHEAD_S = 5;
