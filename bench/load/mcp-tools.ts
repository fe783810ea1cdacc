// In: a number. Out: a tool of the bench's MCP server as it describes itself, about 480 bytes.

export const toolName = (index: number): string => `search-${String(index).padStart(3, "0")}`;

export const toolOf = (index: number): object => ({
  name: toolName(index),
  title: `Search collection ${index}`,
  description: `Finds records of collection ${index} by words and filters, and tells how many match. Newest first.`,
  inputSchema: {
    type: "object",
    properties: {
      query: { type: "string", description: "Words that all occur in the record." },
      limit: { type: "integer", minimum: 1, maximum: 100, description: "How many to tell." },
      filters: { type: "array", items: { type: "object" } },
    },
    required: ["query"],
  },
  annotations: { readOnlyHint: true, openWorldHint: false },
});

export const listAnswer = (tools: readonly object[]): string =>
  JSON.stringify({ jsonrpc: "2.0", id: 1, result: { tools, ttlMs: 60_000, cacheScope: "private" } });
