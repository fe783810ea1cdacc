// In: nothing. Out: requests by how they are framed: in one way, not to their end, or in a way that is refused.
// `ORIGIN` in a request line stands for the origin that is asked, `ELSEWHERE` for another one of the gateway.

export interface FramingCase {
  readonly what: string;
  readonly line: string;
  readonly lines: readonly string[];
  readonly body: string;
  /** The body as every reader must have it; for requests that are served. */
  readonly read: string;
}

const CHUNKED = "Transfer-Encoding: chunked";
const LENGTH_5 = "Content-Length: 5";
const JSON_TYPE = "Content-Type: application/json";
const HELLO_CHUNKED = "5\r\nhello\r\n0\r\n\r\n";
const HIDDEN = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
const ALL_BYTES = String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte));

function of(what: string, line: string, lines: readonly string[], body = "hello", read = "hello"): FramingCase {
  return { what, line, lines, body, read };
}
const post = (what: string, lines: readonly string[], body?: string, read?: string): FramingCase =>
  of(what, "POST /x HTTP/1.1", lines, body, read);
const chunks = (what: string, body: string, read?: string): FramingCase => post(what, [CHUNKED], body, read);
const judged = (what: string, method: string, lines: readonly string[], body: string, read: string): FramingCase =>
  of(what, `${method} /judged/x HTTP/1.1`, [JSON_TYPE, ...lines], body, read);
const line = (what: string, requestLine: string): FramingCase => of(what, requestLine, [LENGTH_5]);
const head = (what: string, lines: readonly string[]): FramingCase => of(what, "GET /x HTTP/1.1", lines, "", "");

/** Framed in one way, however oddly. */
export const SERVED: readonly FramingCase[] = [
  post("a body with a length", [LENGTH_5]),
  post("a length with a zero in front, which is not octal", ["Content-Length: 010"], "helloworld", "helloworld"),
  post("a length of many zeros", ["Content-Length: 000"], "", ""),
  post("a length in white space", ["Content-Length:\t5 \t"]),
  post("a body that is a request", [`Content-Length: ${HIDDEN.length}`], HIDDEN, HIDDEN),
  of("all bytes there are", "PUT /x HTTP/1.1", ["Content-Length: 256"], ALL_BYTES, ALL_BYTES),
  chunks("a body in chunks", "5\r\nhello\r\n00A\r\nworldworld\r\n0\r\n\r\n", "helloworldworld"),
  post("chunks named in another case", ["Transfer-Encoding: ChUnKeD"], HELLO_CHUNKED),
  chunks("a chunk that holds what ends chunks", "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n"),
  chunks("chunks with extensions", '5;a=b;c="d e;f"\r\nhello\r\n0;x\r\n\r\n'),
  chunks("chunk sizes of many zeros", `${"0".repeat(300)}5\r\nhello\r\n0000\r\n\r\n`),
  chunks("chunks with trailers", "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Cordon-Agent: evil\r\n\r\n"),
  chunks("a trailer that asks for an upgrade", "5\r\nhello\r\n0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
  chunks("an empty body in chunks", "0\r\n\r\n", ""),
  of("a GET with a body", "GET /x HTTP/1.1", [LENGTH_5]),
  of("a GET with an empty body in chunks", "GET /x HTTP/1.1", [CHUNKED], "0\r\n\r\n", ""),
  of("a DELETE in chunks", "DELETE /x HTTP/1.1", [CHUNKED], HELLO_CHUNKED),
  of("an OPTIONS with a body", "OPTIONS /x HTTP/1.1", [LENGTH_5]),
  of("HTTP/1.0 that stays open", "POST /x HTTP/1.0", [LENGTH_5, "Connection: keep-alive"]),
  post("an expectation whose body does not wait", ["Expect: 100-continue", LENGTH_5]),
  post("an expectation in front of chunks", ["Expect: 100-CONTINUE", CHUNKED], HELLO_CHUNKED),
  of("an expectation of HTTP/1.0", "POST /x HTTP/1.0", ["Expect: 100-continue", LENGTH_5, "Connection: keep-alive"]),
  post("TE: trailers", ["TE: trailers", "Connection: TE", LENGTH_5]),
  post(
    "a Connection that names the framing",
    ["Connection: keep-alive, transfer-encoding, te", CHUNKED],
    HELLO_CHUNKED,
  ),
  post("settings of HTTP/2 without an upgrade", ["HTTP2-Settings: AAMAAABk", LENGTH_5]),
  post("a Connection that asks for an upgrade to nothing", ["Connection: Upgrade", LENGTH_5]),
  line("an absolute target of this host", "POST ORIGIN/x HTTP/1.1"),
  line("empty lines in front", "\r\n\r\nPOST /x HTTP/1.1"),
  line("many spaces in the request line", "POST   /x   HTTP/1.1"),
  line("a query", "POST /x?a=%C3%A4&b=c+d/../e HTTP/1.1"),
  judged("a judged body with a length", "POST", ["Content-Length: 7"], '{"n":7}', '{"n":7}'),
  judged("a judged body in chunks", "POST", [CHUNKED], '3\r\n{"n\r\n4;x\r\n":7}\r\n0\r\nX-A: b\r\n\r\n', '{"n":7}'),
  judged("a judged body of a GET", "GET", [CHUNKED], '7\r\n{"n":7}\r\n0\r\n\r\n', '{"n":7}'),
  judged("a judged body of a HEAD", "HEAD", ["Content-Length: 7"], '{"n":7}', '{"n":7}'),
  judged("an empty judged body in chunks", "POST", [CHUNKED], "0\r\n\r\n", ""),
];

/** The head is good, and the body goes wrong behind a part that was sent on already. */
export const BROKEN: readonly FramingCase[] = [
  chunks("a chunk whose size is none", "5\r\nhello\r\nZZ\r\n0\r\n\r\n"),
  chunks("a chunk that is longer than its size", "5\r\nhelloX\r\n0\r\n\r\n"),
  chunks("a chunk size with a space behind it", "5\r\nhello\r\n5 \r\nhello\r\n0\r\n\r\n"),
  chunks("a chunk size in a bare LF", "5\r\nhello\r\n5\nhello\r\n0\r\n\r\n"),
  chunks("an extension with a quote across lines", '5\r\nhello\r\n5;a="b\r\nhello\r\n0\r\n\r\n"\r\n'),
  chunks("an extension with a NUL", "5\r\nhello\r\n5;a=\u0000\r\nhello\r\n0\r\n\r\n"),
  chunks("an extension above ASCII", "5\r\nhello\r\n5;a=\u00ff\r\nhello\r\n0\r\n\r\n"),
  chunks("a last chunk that ends in a bare LF", "5\r\nhello\r\n0\r\n\n"),
  chunks("a trailer that ends in a bare LF", "5\r\nhello\r\n0\r\nX-A: b\n\r\n"),
  chunks("a folded trailer", "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
  chunks("a request line for a trailer", `5\r\nhello\r\n0\r\n${HIDDEN}`),
  chunks("a length in a trailer", "5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"),
  chunks("a coding in a trailer", "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
  post("chunks named with a tab behind", ["Transfer-Encoding: chunked \t"], HELLO_CHUNKED),
];

/** The client ends its side in the middle: for HTTP/1.0 readers of old, the end of a body. */
export const UNFINISHED: readonly FramingCase[] = [
  post("a body that is shorter than its length", ["Content-Length: 50"]),
  chunks("chunks without a last one", "5\r\nhello\r\n"),
  chunks("a last chunk without its end", "5\r\nhello\r\n0\r\n"),
  of("a short body of HTTP/1.0", "POST /x HTTP/1.0", ["Content-Length: 50"]),
];

/** Read in two ways by somebody: never forwarded, and nothing behind it. */
export const REFUSED: readonly FramingCase[] = [
  post("a length with a plus", ["Content-Length: +5"]),
  post("a length with more behind", ["Content-Length: 5;"]),
  post("a length behind a vertical tab", ["Content-Length:\u000b5"]),
  post("a length that a double does not carry", ["Content-Length: 9007199254740993"]),
  post("a length beside chunks", [LENGTH_5, CHUNKED], HELLO_CHUNKED),
  post("a length with a dot in its name", ["Content.Length: 6", LENGTH_5]),
  post("a coding with an underscore in its name", ["Transfer_Encoding: chunked", LENGTH_5]),
  post("chunked, identity", ["Transfer-Encoding: chunked, identity"], HELLO_CHUNKED),
  post("identity beside a length", ["Transfer-Encoding: identity", LENGTH_5]),
  post("an empty coding beside a length", ["Transfer-Encoding: ", LENGTH_5]),
  post("a comma in front of chunked", ["Transfer-Encoding: ,chunked"], HELLO_CHUNKED),
  post("chunked with a parameter", ["Transfer-Encoding: chunked;a=b"], HELLO_CHUNKED),
  post("a Connection that names the length", ["Connection: content-length", LENGTH_5]),
  post("a list of expectations", ["Expect: x, 100-continue", LENGTH_5]),
  of("chunks of HTTP/1.0", "POST /x HTTP/1.0", [CHUNKED, "Connection: keep-alive"], HELLO_CHUNKED),
  line("a tab behind the method", "POST\t/x HTTP/1.1"),
  line("a tab behind the target", "POST /x\tHTTP/1.1"),
  line("a space behind the version", "POST /x HTTP/1.1 "),
  line("a bare LF behind the version", "POST /x HTTP/1.1\nX-A: b"),
  line("two CR behind the version", "POST /x HTTP/1.1\r"),
  line("a version of three digits", "POST /x HTTP/1.01"),
  line("an absolute target of another host", "POST ELSEWHERE/x HTTP/1.1"),
  line("an absolute target without a path", "POST ORIGIN HTTP/1.1"),
  line("an asterisk", "OPTIONS * HTTP/1.1"),
  line("the preface of HTTP/2", "PRI * HTTP/2.0"),
  head("h2c", ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]),
  head("h2c that Connection does not name", ["Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]),
  head("a delete character in a value", ["X-A: a\u007fb"]),
  head("a name above ASCII", ["X-\u00c4: b"]),
  head("a value across lines", ["X-A: b\r\n\tc"]),
];
