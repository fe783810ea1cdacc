// Of all bytes of request bodies that a thread holds (`limits.bodies_bytes_max`), what one agent may: one part in so many.
// A quarter, so that an agent which sends as much as it can leaves most of it to the others.
export const BODY_SHARE = 4;
