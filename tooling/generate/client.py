"""``web/client/lectern.ts``: the functions and their models for TypeScript, without a dependency."""

from collections.abc import Sequence
from typing import Any

from shared.edge.registry import Deployment
from tooling.generate.openapi import calls, schemas

_HEADER = """\
// Made from the function registry by `make generate`; do not edit.

/** An error that a function answered with. */
export class LecternError extends Error {
  constructor(
    /** The canonical code, such as "NOT_FOUND". */
    readonly code: string,
    message: string,
    readonly status: number,
    readonly details: readonly Record<string, unknown>[],
    /** How long to wait before asking again, where the server said so. */
    readonly retryAfterSeconds: number | undefined,
  ) {
    super(message);
    this.name = "LecternError";
  }
}

/** A reply that arrives in pieces: iterate over its messages, then await `result`. */
export interface Streamed<Message, Reply> extends AsyncIterable<Message> {
  readonly result: Promise<Reply>;
}

export interface ClientOptions {
  /** Where the functions are, without the function's name: `https://REGION-PROJECT.cloudfunctions.net`. */
  readonly baseUrl: string;
  /** Resolves to the signed-in user's ID token, or null. */
  readonly idToken: () => Promise<string | null>;
  readonly fetch?: typeof fetch;
}

"""

_CALL = """
  private stream<Message, Reply>(
    name: string,
    request: unknown,
    signal?: AbortSignal,
  ): Streamed<Message, Reply> {
    let resolve: (reply: Reply) => void;
    let reject: (error: unknown) => void;
    const result = new Promise<Reply>((resolved, rejected) => {
      resolve = resolved;
      reject = rejected;
    });
    result.catch(() => undefined);
    const events = this.events(name, request, signal);
    async function* messages(): AsyncGenerator<Message> {
      try {
        for await (const event of events) {
          if ("message" in event) {
            yield event.message as Message;
          } else if ("result" in event) {
            resolve(event.result as Reply);
            return;
          } else {
            const { status, message, details } = (event.error ?? {}) as {
              status?: string;
              message?: string;
              details?: Record<string, unknown>[];
            };
            throw new LecternError(status ?? "INTERNAL", message ?? "", 200, details ?? [], undefined);
          }
        }
        throw new LecternError("UNAVAILABLE", "the stream ended early", 200, [], undefined);
      } catch (error) {
        reject(error);
        throw error;
      }
    }
    const iterator = messages();
    return { result, [Symbol.asyncIterator]: () => iterator };
  }

  private async *events(
    name: string,
    request: unknown,
    signal?: AbortSignal,
  ): AsyncGenerator<Record<string, unknown>> {
    const token = await this.options.idToken();
    const headers: Record<string, string> = {
      "content-type": "application/json",
      accept: "text/event-stream",
    };
    if (token !== null) headers["authorization"] = `Bearer ${token}`;
    const send = this.options.fetch ?? fetch;
    const response = await send(`${this.options.baseUrl}/${name}`, {
      method: "POST",
      headers,
      body: JSON.stringify({ data: request }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (response.body === null) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        const lines = (held + value).split("\\n");
        held = lines.pop() ?? "";
        for (const line of lines) {
          if (line.startsWith("data: ")) yield JSON.parse(line.slice(6)) as Record<string, unknown>;
        }
      }
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }

  private async call<Reply>(name: string, request: unknown, signal?: AbortSignal): Promise<Reply> {
    const token = await this.options.idToken();
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (token !== null) headers["authorization"] = `Bearer ${token}`;
    const send = this.options.fetch ?? fetch;
    const response = await send(`${this.options.baseUrl}/${name}`, {
      method: "POST",
      headers,
      body: JSON.stringify(request),
      ...(signal === undefined ? {} : { signal }),
    });
    const body: unknown = await response.json().catch(() => null);
    if (response.ok) return body as Reply;
    const problem = (body ?? {}) as { type?: string; detail?: string; details?: Record<string, unknown>[] };
    const code = (problem.type ?? "urn:lectern:problem:internal").split(":").pop() ?? "internal";
    const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
    throw new LecternError(
      code.replaceAll("-", "_").toUpperCase(),
      problem.detail ?? `HTTP ${response.status}`,
      response.status,
      problem.details ?? [],
      Number.isNaN(retryAfter) ? undefined : retryAfter,
    );
  }
}
"""


def render(functions: Sequence[Deployment]) -> str:
    """The text of the client."""
    references, definitions = schemas(functions)
    parts = [_HEADER]
    parts += [_type(name, schema) for name, schema in sorted(definitions.items())]
    parts.append(
        "/** Every function that clients call; each may throw a LecternError. */\n"
        "export class LecternClient {\n  constructor(private readonly options: ClientOptions) {}\n"
    )
    for function, call in calls(functions):
        request = _name(references[call.request, "validation"])
        reply = _name(references[call.reply, "serialization"])
        parts.append(
            f"\n  /** {function.summary} */\n"
            f"  {_camel(function.name)}(request: {request}, signal?: AbortSignal): Promise<{reply}> {{\n"
            f'    return this.call("{function.name}", request, signal);\n  }}\n'
        )
        if call.sends is not None:
            message = _name(references[call.sends, "serialization"])
            parts.append(
                f"\n  /** The same in pieces, as they come. */\n"
                f"  {_camel(function.name)}Stream(request: {request}, signal?: AbortSignal): "
                f"Streamed<{message}, {reply}> {{\n"
                f'    return this.stream("{function.name}", request, signal);\n  }}\n'
            )
    parts.append(_CALL)
    return "".join(parts)


def _type(name: str, schema: dict[str, Any]) -> str:
    comment = _comment(schema.get("description"), "")
    if schema.get("type") == "object" and "properties" in schema:
        required = set(schema.get("required", ()))
        fields = "".join(
            f"{_comment(each.get('description'), '  ')}"
            f"  readonly {field}{'' if field in required else '?'}: {_of(each)};\n"
            for field, each in schema["properties"].items()
        )
        return f"{comment}export interface {_identifier(name)} {{\n{fields}}}\n\n"
    return f"{comment}export type {_identifier(name)} = {_of(schema)};\n\n"


def _of(schema: dict[str, Any]) -> str:  # noqa: C901  one line per kind of schema
    if "$ref" in schema:
        return _name(schema)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " | ".join(dict.fromkeys(_of(each) for each in schema[word]))
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return " | ".join(_literal(each) for each in schema["enum"])
    match schema.get("type"):
        case "string":
            return "string"
        case "integer" | "number":
            return "number"
        case "boolean":
            return "boolean"
        case "null":
            return "null"
        case "array":
            return f"readonly ({_of(schema.get('items', {}))})[]"
        case "object":
            value: Any = schema.get("additionalProperties") or next(
                iter(schema.get("patternProperties", {}).values()), {}
            )
            return f"Readonly<Record<string, {_of(value) if value not in ({}, True) else 'unknown'}>>"
    return "unknown"


def _name(reference: dict[str, Any]) -> str:
    return _identifier(reference["$ref"].rpartition("/")[2])


def _identifier(name: str) -> str:
    return "".join(part for part in name.replace("-", "_").split("_") if part)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _comment(text: str | None, indent: str) -> str:
    if not text:
        return ""
    lines = text.strip().splitlines()
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    body = "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines)
    return f"{indent}/**\n{body}{indent} */\n"
