// In: nothing. Out: the schemas of single values of which the configuration is made.
// A value that could not be used later, such as a header with a line break, is a problem of the file.
import { z } from "zod";

export const port = z.int().min(0).max(65_535);
export const filePath = z.string().min(1).describe("A file path, relative to the configuration file.");
export const origin = z
  .string()
  .regex(/^https?:\/\/[^/?#@]+$/, "write an origin: scheme, host and optional port, no path");
// RFC 9110 section 5.1 and 5.5. undici refuses anything else at each request, and then keeps no connection to the tool.
export const headerName = z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, "write the name of a header");
export const headerText = z.string().regex(/^[\t\x20-\x7e]*$/, "write plain text without line breaks");
export const httpUrl = z.url({ protocol: /^https?$/ });
export const bytes = z.int().positive();
export const ms = z.int().positive();

export const secretSource = z
  .union([z.strictObject({ file: filePath }), z.strictObject({ env: z.string().min(1) })])
  .describe("Where a secret comes from: `file` (trailing newline removed) or `env`.");
